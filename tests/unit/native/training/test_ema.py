"""The moving average of the weights."""

import torch

from actionrec.native.training import ema


def test_the_average_forgets_the_start_and_then_decays_as_set():
    network = torch.nn.BatchNorm1d(2)
    average = ema.initial_weights(network)
    expected = {name: value.double() for name, value in network.state_dict().items()}
    for step in range(1, 101):
        with torch.no_grad():
            network.weight.copy_(torch.tensor([step, -step]))
        network(torch.full((3, 2), float(step)))
        decay = min(0.9, (1 + step) / (10 + step))
        ema.update(average, network, 0.9, step)
        for name, value in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name in ("weight", "running_mean", "running_var"):
        torch.testing.assert_close(average[name].double(), expected[name], rtol=1e-5, atol=1e-5)
    assert average["num_batches_tracked"] == 100
    assert average["weight"][0] < 95
