"""NVIDIA's images of action_recognition, as the launchers of each toolkit name them."""

REGISTRY = "nvcr.io/nvidia/tao"
IMAGES = {
    "3.21.11": f"{REGISTRY}/tao-toolkit-pyt:v3.21.11-py3",
    "3.22.05": f"{REGISTRY}/tao-toolkit-pyt:v3.22.05-py3",
    "4.0.1": f"{REGISTRY}/tao-toolkit:4.0.0-pyt",
    **{
        toolkit: f"{REGISTRY}/tao-toolkit:{toolkit}-pyt"
        for toolkit in ("5.0.0", "5.3.0", "5.5.0", "6.0.0", "6.25.10", "6.26.3")
    },
}
