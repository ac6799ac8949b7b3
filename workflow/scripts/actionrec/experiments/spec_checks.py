"""Check what each experiment of a configuration asks of its network and its training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from actionrec.experiments import successive_halving
from actionrec.experiments.successive_halving import Budget
from actionrec.native.streams import check_clips

if TYPE_CHECKING:
    from omegaconf import DictConfig


def check_specs(
    specs: Mapping[str, "DictConfig"], budgets: Mapping[str, Budget], source: str
) -> None:
    """Raise `InputError` for a network that cannot be, or a training that its budget does not suit.

    `specs` and `budgets` are those of experiments by name; `source` names the configuration's file.
    """
    for name, spec in specs.items():
        where = f"{source}, experiments.{name} or what all share"
        check_clips(spec.model, where)
        if name in budgets:
            successive_halving.refuse_unfit(budgets[name], spec, where)
