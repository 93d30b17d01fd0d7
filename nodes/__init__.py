"""The nodes: a schema and a few lines each, over ``patchvsr_core``."""

from .decoding import Blender, PatchDecoder
from .encoding import GlobalContextEncoder, PatchEncoder
from .finishing import RefineFidelity
from .loaders import LoadAdapter, LoadTinyDefault
from .model import ApplyPatchVSR, JointModulationMerger
from .planning import PatchPlanner
from .sampling import PatchSampler
from .video import UpscaleVideo

NODES = [
    LoadTinyDefault,
    LoadAdapter,
    PatchPlanner,
    PatchEncoder,
    GlobalContextEncoder,
    ApplyPatchVSR,
    JointModulationMerger,
    PatchSampler,
    PatchDecoder,
    Blender,
    RefineFidelity,
    UpscaleVideo,
]
