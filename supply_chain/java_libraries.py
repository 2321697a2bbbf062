"""The Java libraries inside TorchServe's `model-server.jar`, as far as the jar itself tells.

TorchServe is built with `META-INF/maven` left out, so that no scanner sees what is bundled. Here
every folder of classes is given to a library (a test wants it complete), and the version is
read where a file of the jar states it. Where none does, it is None and stays unknown: a guess in
a bill of materials is worse than a gap. Some classes exist from one version on: `since` keeps
that much.
"""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

JAR = "ts/frontend/model-server.jar"
# Numbers, and netty's ".Final".
_NUMBERS = rb"(\d+\.\d+(?:\.\d+)?(?:\.Final)?)"


@dataclass(frozen=True)
class Library:
    """One bundled library: where its classes lie, and what tells its version.

    `stated` is a file of the jar and the text before the version in it; `since` a class and the
    first version that has it, `before` one and the version from which on it is not missing.
    """

    group: str
    name: str
    folders: tuple[str, ...]
    stated: tuple[str, bytes] | None = None
    since: tuple[str, str] | None = None
    before: tuple[str, str] | None = None


@dataclass(frozen=True)
class Found:
    """A library that the jar holds; `bounds` is what is known where the version is not."""

    library: Library
    version: str | None
    bounds: str = ""


_LOG4J = ("META-INF/DEPENDENCIES", rb"log4j-core:jar:")
_GROOVY = ("META-INF/groovy-release-info.properties", rb"ImplementationVersion=")
_GRPC = ("io/grpc/internal/GrpcUtil.class", rb"")

LIBRARIES = (
    Library(
        "io.netty", "netty-all", ("io/netty",),
        stated=("META-INF/io.netty.versions.properties", rb"netty-codec-http\.version="),
    ),
    Library("io.grpc", "grpc-netty-shaded", ("io/grpc/netty/shaded",), stated=_GRPC),
    Library("io.grpc", "grpc-core", ("io/grpc",), stated=_GRPC),
    Library("io.perfmark", "perfmark-api", ("io/perfmark",)),
    Library("io.prometheus", "simpleclient", ("io/prometheus",)),
    Library("com.google.protobuf", "protobuf-java", ("com/google/protobuf",),
            before=("com/google/protobuf/RuntimeVersion.class", "4.26.0")),
    Library("com.google.code.gson", "gson", ("com/google/gson",),
            stated=("com/google/gson/internal/GsonBuildConfig.class", rb"")),
    Library("com.google.guava", "guava", ("com/google/common", "com/google/thirdparty"),
            before=("com/google/common/io/TempFileCreator.class", "32.0.0")),
    Library("com.google.api.grpc", "proto-google-common-protos",
            ("com/google/api", "com/google/cloud", "com/google/geo", "com/google/logging",
             "com/google/longrunning", "com/google/rpc", "com/google/type")),
    Library("com.google.errorprone", "error_prone_annotations", ("com/google/errorprone",)),
    Library("com.google.j2objc", "j2objc-annotations", ("com/google/j2objc",)),
    Library("com.google.android", "annotations", ("android",)),
    Library("com.google.code.findbugs", "jsr305", ("javax/annotation",)),
    Library("org.checkerframework", "checker-qual", ("org/checkerframework",)),
    Library("org.codehaus.mojo", "animal-sniffer-annotations", ("org/codehaus/mojo",)),
    Library("org.yaml", "snakeyaml", ("org/yaml/snakeyaml",),
            since=("org/yaml/snakeyaml/inspector/TagInspector.class", "2.0")),
    Library("commons-cli", "commons-cli", ("org/apache/commons/cli",)),
    Library("commons-io", "commons-io", ("org/apache/commons/io",),
            since=("org/apache/commons/io/channels/FileChannels.class", "2.15.0")),
    Library("org.apache.commons", "commons-compress", ("org/apache/commons/compress",),
            before=("org/apache/commons/compress/archivers/sevenz/SevenZFile$Builder.class",
                    "1.26.0")),
    Library("org.apache.logging.log4j", "log4j-core", ("org/apache/logging/log4j",), stated=_LOG4J),
    Library("org.apache.logging.log4j", "log4j-slf4j-impl",
            ("org/apache/logging/slf4j", "org/slf4j/impl"), stated=_LOG4J),
    Library("org.slf4j", "slf4j-api", ("org/slf4j",)),
    Library("com.lmax", "disruptor", ("com/lmax/disruptor",)),
    Library("org.pytorch", "torchserve-plugins-sdk", ("org/pytorch/serve/servingsdk",)),
    # What follows came along with the plugins' SDK, and the server uses none of it.
    Library("org.codehaus.groovy", "groovy",
            ("groovy", "groovyjarjarantlr", "groovyjarjarantlr4", "groovyjarjarasm",
             "groovyjarjarpicocli", "org/apache/groovy", "org/codehaus/groovy"), stated=_GROOVY),
    Library("org.apache.ant", "ant", ("org/apache/tools",),
            stated=("org/apache/tools/ant/version.txt", rb"VERSION=")),
    Library("info.picocli", "picocli", ("picocli",), stated=("picocli/CommandLine.class", rb"")),
    Library("org.webjars", "jquery", ("META-INF/resources/webjars/jquery",),
            stated=("META-INF/resources/webjars/jquery/3.5.1/jquery.js", rb"Library v")),
    Library("junit", "junit", ("junit", "org/junit"),
            stated=("junit/runner/Version.class", rb"")),
    Library("org.junit.jupiter", "junit-jupiter", ("org/junit/jupiter", "org/junit/platform")),
    Library("org.testng", "testng", ("org/testng",)),
    Library("org.hamcrest", "hamcrest", ("org/hamcrest",)),
    Library("org.opentest4j", "opentest4j", ("org/opentest4j",)),
    Library("com.beust", "jcommander", ("com/beust/jcommander",)),
    Library("com.github.javaparser", "javaparser-core", ("com/github/javaparser",)),
    Library("com.thoughtworks.qdox", "qdox", ("com/thoughtworks/qdox",)),
    Library("jline", "jline", ("jline", "org/fusesource")),
)  # fmt: skip


def jar_path() -> Path:
    """Return where the installed TorchServe has its jar."""
    return Path(str(distribution("torchserve").locate_file(JAR)))


def libraries(jar: Path) -> Iterator[Found]:
    """Yield what the jar holds, in the order of the table."""
    with zipfile.ZipFile(jar) as source:
        names = frozenset(source.namelist())
        for library in LIBRARIES:
            if any(name.startswith(f"{each}/") for each in library.folders for name in names):
                yield Found(library, _version(source, library), _bounds(library, names))


def unknown_folders(jar: Path) -> set[str]:
    """Return the folders of classes that are neither TorchServe's nor in the table."""
    known = tuple(f"{each}/" for library in LIBRARIES for each in library.folders)
    with zipfile.ZipFile(jar) as source:
        classes = [name for name in source.namelist() if name.endswith(".class") and "/" in name]
    own = ("org/pytorch/serve/", "META-INF/")
    return {name.rpartition("/")[0] for name in classes if not name.startswith((*known, *own))}


def _version(jar: zipfile.ZipFile, library: Library) -> str | None:
    if library.stated is None:
        return None
    file, before = library.stated
    try:
        match = re.search(before + _NUMBERS, jar.read(file))
    except KeyError:
        return None
    return match[1].decode() if match else None


def _bounds(library: Library, names: frozenset[str]) -> str:
    if library.since and library.since[0] in names:
        return f">={library.since[1]}"
    if library.before and library.before[0] not in names:
        return f"<{library.before[1]}"
    return ""
