"""The headless host: bases of the Wan architecture as diffusers modules, and the stages in order over them.

Import what you need from its modules; they load diffusers.
"""
