"""The CUDA kernels without TensorFlow.

`nvrtc` compiles them, `driver` launches them, `check` has them prove themselves. No CUDA is needed
until something is compiled or launched.
"""
