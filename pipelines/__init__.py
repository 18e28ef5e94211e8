"""The stages of `dvc.yaml`, a module each: parse, read, one or two library calls, write.

Beside them lies what stages share (`stage`, `examined`, `round_run`, `gallery`), and a part of a
stage that is long enough by itself (`candidates` of `select`, `campaign_report` of `simulate`).
"""
