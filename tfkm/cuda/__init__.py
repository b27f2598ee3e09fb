"""The CUDA kernels without TensorFlow.

`nvrtc` compiles them, `driver` launches them, `check` has them prove themselves, `bench` measures them, and
`build` checks what is compiled. No CUDA is needed until something is compiled or launched.
"""
