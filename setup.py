"""Packaging entry point: pyproject.toml declares it all but the folders at the top that a wheel carries."""

from setuptools import find_packages, setup

# An ament package has msg/ and config/ at its top. A wheel carries them as sentryfuse_core/share, where
# sentryfuse_core/shipped.py looks first; CMakeLists.txt installs the same to share/sentryfuse.
SHARED = {"sentryfuse_core.share.msg": "msg", "sentryfuse_core.share.config": "config"}

setup(
    packages=[*find_packages(include=["sentryfuse_core*", "sentryfuse_ros*"]), *SHARED],
    package_dir=SHARED,
    package_data={"sentryfuse_core": ["weights/*"], **{name: ["**/*"] for name in SHARED}},
)
