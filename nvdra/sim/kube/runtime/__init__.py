"""A container runtime without images: rootfs folders, CDI, real driver processes, other commands interpreted."""
