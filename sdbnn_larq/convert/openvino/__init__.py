"""OpenVINO, the runtime for x86: export, and the process's one runtime."""
