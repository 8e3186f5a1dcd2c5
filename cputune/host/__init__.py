"""The machine: kernel files, processes, cputune's own files, systemd."""
