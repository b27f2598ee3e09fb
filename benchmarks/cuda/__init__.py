"""The CUDA kernels apart from TensorFlow: `build` compiles them, `bench` times them on a card.

`roofline` makes the tables of docs/gpu.md, from data sheets and from what `build` recorded.
"""
