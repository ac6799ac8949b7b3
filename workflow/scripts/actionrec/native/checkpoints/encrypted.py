"""TAO's encrypted checkpoints: the pickled state_dict is encrypted, all else is in clear.

The form is that of nvidia-tao-pytorch 5.0 to 7.3: `state_dict` holds the encrypted bytes and
`state_dict_encrypted` the kind of encryption. The key is taken from TAO_KEY.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionrec.errors import InputError
from actionrec.weights import encryption

KIND = "state_dict_encrypted"
PICKLE_PROTOCOL = 4  # TAO 5.0 runs on Python 3.8


def is_encrypted(checkpoint: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint's state_dict is encrypted."""
    return bool(checkpoint.get(KIND))


def is_encrypted_file(path: Path | str) -> bool:
    """Tell whether a file is an encrypted checkpoint."""
    try:
        return is_encrypted(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # no checkpoint at all, which whoever reads it will tell
        return False


def encrypted(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with its state_dict encrypted, and the weights that we keep beside it.

    Raises `InputError` where NVIDIA's encryption cannot run.
    """
    kind, secret = _sealed(checkpoint["state_dict"])
    sealed = {**checkpoint, "state_dict": secret, KIND: kind}
    own = checkpoint.get("actionrec", {})
    if own.get("weights"):
        sealed["actionrec"] = {**own, "weights": _sealed(own["weights"])[1]}
    return sealed


def _sealed(state: Mapping[str, Tensor]) -> tuple[str, bytes]:
    tensors = {name: tensor.cpu() for name, tensor in state.items()}
    return encryption.encrypt(pickle.dumps(tensors, protocol=PICKLE_PROTOCOL))


def decrypted(checkpoint: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    """Return an encrypted checkpoint of the file `path` in clear; `where` is the spec's key.

    Only tensors are unpickled, whoever encrypted them. Raises `InputError` if the key is not the
    file's.
    """
    secret, kind = checkpoint.get("state_dict"), checkpoint[KIND]
    if not isinstance(secret, bytes) or not isinstance(kind, str) or not kind.isalnum():
        raise InputError(
            "The file is no encrypted checkpoint of TAO's.", where=f"spec: {where}", found=path
        )
    clear = {name: value for name, value in checkpoint.items() if name != KIND}
    clear["state_dict"] = _opened(secret, kind, path, where)
    own = checkpoint.get("actionrec", {})
    if isinstance(own.get("weights"), bytes):
        clear["actionrec"] = {**own, "weights": _opened(own["weights"], kind, path, where)}
    return clear


def _opened(secret: bytes, kind: str, path: Path, where: str) -> dict[str, Tensor]:
    plain = encryption.decrypt(secret, kind)
    try:
        state = _TensorUnpickler(io.BytesIO(plain)).load()
        whole = isinstance(state, Mapping) and all(isinstance(v, Tensor) for v in state.values())
    except Exception:  # noise under a wrong key can look like anything
        whole = False
    if not whole:
        raise InputError(
            "The key does not decrypt the checkpoint.",
            where=f"spec: {where}",
            found=path,
            fix="export TAO_KEY=..., the key it was saved with; NVIDIA's own is nvidia_tao",
        )
    return dict(state)


def _load_storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


class _TensorUnpickler(pickle.Unpickler):
    """Unpickle what a state_dict consists of and nothing else."""

    ALLOWED = {  # noqa: RUF012
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
        ("torch.storage", "_load_from_bytes"): _load_storage,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed constructor."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a state_dict")
        return self.ALLOWED[module, name]
