"""The nodes: a schema and a few lines each, over ``patchvsr_core``."""

from .conditional import ConditionalDecoder, ConditionalRefiner
from .consistency import AttentionPropagation, DetailGuidance, FlowPropagation
from .decoding import Blender, PatchDecoder
from .encoding import GlobalContextEncoder, PatchEncoder
from .fast import DAPUpscale, RDGUpscale
from .finishing import RefineFidelity
from .flow import OpticalFlow
from .loaders import LoadAdapter, LoadTinyDefault
from .looking import Compare, PatchPreview
from .model import ApplyPatchVSR, JointModulationMerger
from .passes import LoadRenderPasses
from .patches import JoinPatches, SplitPatches
from .planning import PatchPlanner
from .quality import QualityReport
from .sampling import PatchSampler, StarSchedule
from .video import UpscaleVideo

NODES = [
    LoadTinyDefault,
    LoadAdapter,
    PatchPlanner,
    PatchEncoder,
    GlobalContextEncoder,
    ApplyPatchVSR,
    AttentionPropagation,
    DetailGuidance,
    LoadRenderPasses,
    OpticalFlow,
    FlowPropagation,
    JointModulationMerger,
    StarSchedule,
    PatchSampler,
    PatchDecoder,
    Blender,
    RefineFidelity,
    ConditionalDecoder,
    ConditionalRefiner,
    DAPUpscale,
    RDGUpscale,
    QualityReport,
    UpscaleVideo,
    PatchPreview,
    Compare,
    SplitPatches,
    JoinPatches,
]
