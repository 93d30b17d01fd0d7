"""Motion from each frame to the next, estimated or read from a renderer, and frames brought along it.

The estimators are DIS, a pyramidal Lucas-Kanade and RAFT; any other is a function of two frames.
"""

from .estimators import ESTIMATORS, Estimator
from .flow import ClipFlows, consistency, estimate_clip_flows, warp

__all__ = ["ESTIMATORS", "ClipFlows", "Estimator", "consistency", "estimate_clip_flows", "warp"]
