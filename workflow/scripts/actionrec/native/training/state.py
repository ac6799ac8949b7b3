"""The state of a training, and its form in a checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from actionrec.native.checkpoints import lightning
from actionrec.native.data.batch import Batch
from actionrec.native.data.dataloader import DataLoader
from actionrec.native.data.samplers import TrainBatchSampler
from actionrec.native.distributed import launch
from actionrec.native.distributed.gradient_sync import GradientSync
from actionrec.native.status import StatusLog
from actionrec.native.training import lr_schedules
from actionrec.native.training.early_stopping import EarlyStopping
from actionrec.native.training.fixed_settings import fixed_settings
from actionrec.native.training.sgd import SGD


@dataclass
class TrainState:
    """Everything that a training consists of, and how far it has come."""

    spec: DictConfig
    folder: Path  # of checkpoints and status.json
    status: StatusLog
    device: torch.device
    network: nn.Module
    gradient_sync: GradientSync
    optimizer: SGD
    lr_scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    ema_weights: dict[str, Tensor] | None  # by name; None unless native.ema_decay is set
    early_stopping: EarlyStopping
    train_sampler: TrainBatchSampler
    train_loader: DataLoader
    val_loader: DataLoader | None
    totals: Tensor  # of this rank in the present epoch, see `totals`
    forward_backward: Callable[[Batch], None] = field(init=False)  # see `steps`
    epoch: int = 0
    global_step: int = 0
    batch_idx: int = 0  # the number of batches done in this epoch
    epoch_ended: bool = False  # after validation, logging and the step of the schedule
    step_seconds: list[float] = field(default_factory=list)  # of this process
    best_checkpoints: list[tuple[float, str]] = field(default_factory=list)  # metric, file; ranked

    @property
    def learning_rate(self) -> float:
        """The learning rate of the present step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self, totals: Tensor) -> dict[str, Any]:
        """Return a Lightning checkpoint, with what TAO's do not hold under "actionrec".

        `totals` are those of all ranks.
        """
        weights = self.network.state_dict()
        published = weights if self.ema_weights is None else self.ema_weights
        num_batches = len(self.train_sampler)
        return {
            "epoch": self.epoch,
            "global_step": self.global_step,
            "pytorch-lightning_version": lightning.LIGHTNING_VERSION,
            "state_dict": {lightning.PREFIX + name: value for name, value in published.items()},
            "loops": lightning.loops_state(
                self.epoch, self.global_step, self.batch_idx, num_batches
            ),
            "callbacks": {},
            "optimizer_states": [self.optimizer.state_dict()],
            "lr_schedulers": [self.lr_scheduler.state_dict()],
            "actionrec": {
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
                "totals": totals.tolist(),
                "epoch_ended": self.epoch_ended,
                "best": [list(entry) for entry in self.best_checkpoints],
                "record": self.early_stopping.state_dict(),
                "scaler": self.scaler.state_dict(),
                "weights": None if self.ema_weights is None else dict(weights),
                "spec": fixed_settings(self.spec),
            },
        }

    def load_state_dict(self, checkpoint: Mapping[str, Any], path: str) -> None:
        """Restore what `state_dict` has returned, or a checkpoint of TAO's, from the file `path`.

        Raises `InputError` if it has another kind of learning-rate schedule.
        """
        own = checkpoint.get("actionrec", {})
        self._load_weights(lightning.network_state_dict(checkpoint), own.get("weights"))
        self.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
        lr_schedules.load_state_dict(self.lr_scheduler, checkpoint["lr_schedulers"][0], path)
        self.global_step = checkpoint["global_step"]
        batches_done, all_done = lightning.batches_done(checkpoint)
        # A checkpoint by step may follow the last batch of an epoch whose end is still to come:
        # then the training resumes with no batch left, and ends the epoch.
        epoch_ended = own.get("epoch_ended", all_done)
        self.epoch = checkpoint["epoch"] + epoch_ended
        self.batch_idx = 0 if epoch_ended else batches_done
        self._load_own(own, epoch_ended)

    def _load_weights(
        self, published: Mapping[str, Tensor], trained: Mapping[str, Tensor] | None
    ) -> None:
        """Load the trained weights, and their moving average, which is what TAO's key holds."""
        self.network.load_state_dict(trained or published)
        for name, value in (self.ema_weights or {}).items():
            value.copy_(published[name])

    def _load_own(self, own: Mapping[str, Any], epoch_ended: bool) -> None:
        """Load what TAO's checkpoints do not have."""
        self.best_checkpoints = [(metric, name) for metric, name in own.get("best", [])]
        if "record" in own:
            self.early_stopping.load_state_dict(own["record"])
        if own.get("scaler") and self.scaler.is_enabled():
            self.scaler.load_state_dict(own["scaler"])
        # The saved totals are the sum over all ranks; one rank continues from them.
        if not epoch_ended and "totals" in own and launch.rank() == 0:
            self.totals.copy_(torch.tensor(own["totals"], dtype=self.totals.dtype))
        if "rng" in own:
            torch.set_rng_state(own["rng"])
        if own.get("cuda_rng") is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(own["cuda_rng"])
