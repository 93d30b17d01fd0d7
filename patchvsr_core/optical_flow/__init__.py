"""Optical flow, estimated or converted from a renderer's motion vectors, and warping along it.

The estimators are DIS, Farneback, pyramidal Lucas-Kanade and RAFT; any function of two frames can be one.
"""

from .estimators import ESTIMATORS, Estimator
from .flow import ClipFlows, consistency, estimate_clip_flows, warp

__all__ = ["ESTIMATORS", "ClipFlows", "Estimator", "consistency", "estimate_clip_flows", "warp"]
