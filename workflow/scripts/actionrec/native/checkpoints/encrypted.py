"""TAO's encrypted checkpoints: the pickled state_dict is encrypted, all else is plain.

The format is that of nvidia-tao-pytorch 5.0 to 7.3: `state_dict` holds the encrypted bytes and
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
    except Exception:  # no checkpoint at all; `lightning.read` says so
        return False


def encrypt(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with all its weights encrypted: TAO's state_dict and the engine's own.

    Raises `InputError` where NVIDIA's encryption cannot run.
    """
    kind, secret = _encrypt_tensors(checkpoint["state_dict"])
    result = {**checkpoint, "state_dict": secret, KIND: kind}
    own = checkpoint.get("actionrec", {})
    if own.get("weights"):
        result["actionrec"] = {**own, "weights": _encrypt_tensors(own["weights"])[1]}
    return result


def _encrypt_tensors(state_dict: Mapping[str, Tensor]) -> tuple[str, bytes]:
    """Return the kind of encryption, and the encrypted pickle of a state dict."""
    tensors = {name: tensor.cpu() for name, tensor in state_dict.items()}
    return encryption.encrypt(pickle.dumps(tensors, protocol=PICKLE_PROTOCOL))


def decrypt(checkpoint: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    """Return the encrypted checkpoint of the file `path`, decrypted; `where` is the spec's key.

    Only tensors are unpickled, because anybody with the key can encrypt anything. Raises
    `InputError` if the key is not the file's.
    """
    secret, kind = checkpoint.get("state_dict"), checkpoint[KIND]
    if not isinstance(secret, bytes) or not isinstance(kind, str) or not kind.isalnum():
        raise InputError(
            "The file is no encrypted checkpoint of TAO's.",
            where=f"spec: {where}",
            found=path,
            fix="name a checkpoint as TAO or the native engine has saved it",
        )
    result = {name: value for name, value in checkpoint.items() if name != KIND}
    result["state_dict"] = _decrypt_tensors(secret, kind, path, where)
    own = checkpoint.get("actionrec", {})
    if isinstance(own.get("weights"), bytes):
        weights = _decrypt_tensors(own["weights"], kind, path, where)
        result["actionrec"] = {**own, "weights": weights}
    return result


def _decrypt_tensors(secret: bytes, kind: str, path: Path, where: str) -> dict[str, Tensor]:
    plain = encryption.decrypt(secret, kind)
    try:
        state = _TensorUnpickler(io.BytesIO(plain)).load()
        valid = isinstance(state, Mapping) and all(isinstance(v, Tensor) for v in state.values())
    except Exception:  # with a wrong key the bytes are noise, and any error can come of it
        valid = False
    if not valid:
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
    """Unpickle the types that a state_dict consists of, and nothing else."""

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
