"""Model files, which are read without trust: nothing in them is run, and nothing is built before it is checked."""

from .checkpoints import read_checkpoint, read_pickle
from .disk import commit_file, commit_folder, fingerprint, sha256, sync_folder, weight_files
from .modules import MOST_CHANNELS, MOST_LAYERS, check_weights, fill_module, parse_config, read_network
from .weights import (
    MOST_HEADER_BYTES,
    SAFETENSORS,
    Header,
    explain_read_errors,
    read_header,
    read_metadata,
    read_tensors,
    read_weights,
    store_as_int8,
    write_tensors,
    write_weights,
)

__all__ = [
    "MOST_CHANNELS",
    "MOST_HEADER_BYTES",
    "MOST_LAYERS",
    "SAFETENSORS",
    "Header",
    "check_weights",
    "commit_file",
    "commit_folder",
    "explain_read_errors",
    "fill_module",
    "fingerprint",
    "parse_config",
    "read_checkpoint",
    "read_header",
    "read_metadata",
    "read_network",
    "read_pickle",
    "read_tensors",
    "read_weights",
    "sha256",
    "store_as_int8",
    "sync_folder",
    "weight_files",
    "write_tensors",
    "write_weights",
]
