"""Speed, and nothing else: layers on oneDNN (`convolutions`, `activations`, `channels`; `onednn` and `library` below
them), the processor and its threads (`cpu`), several `processes`."""
