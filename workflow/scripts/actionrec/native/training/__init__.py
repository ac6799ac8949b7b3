"""The parts of a training.

`setup` builds a `state.TrainState` from a spec, `steps` trains on one batch, `validation` evaluates
the network, `checkpointing` saves the state and `resume` restores it. The loop over epochs is in
`actionrec.native.train`.
"""
