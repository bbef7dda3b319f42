"""The reference fine-tuning pipeline: one training or a study of many, tracked as they run.

`config`, `plan` and `grammar` import neither torch nor transformers, so that checking a config is quick;
`model`, `trainer` and `train` are the rooms where those live.
"""
