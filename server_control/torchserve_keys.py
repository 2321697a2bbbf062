"""The keys of TorchServe's configuration, and the variables of the environment that set them.

TorchServe passes over a key that it does not know without a word, so that a slip of the pen in
`disable_token_authorization` would go unseen. The names are those of its `ConfigManager` and its
launcher, 0.12.0; a test compares them with the installed ones.
"""

from collections.abc import Mapping
from pathlib import Path

_PREFIX = "TS_"
# The file's own path, and TorchServe's variable for its folder; neither is a key of the file.
_NO_KEYS = ("TS_CONFIG_FILE", "TS_MODEL_SERVER_HOME")

# Values that TorchServe takes as paths of its working directory.
PATHS = (
    "model_store",
    "workflow_store",
    "metrics_config",
    "private_key_file",
    "certificate_file",
    "keystore",
    "plugins_path",
)
KEYS = frozenset(
    """
    allowed_urls async_logging blacklist_env_vars certificate_file cors_allowed_headers
    cors_allowed_methods cors_allowed_origin cpp_log_config cpu_launcher_args cpu_launcher_enable
    debug decode_input_request default_response_timeout default_service_handler
    default_startup_timeout default_workers_per_model disable_system_metrics
    disable_token_authorization enable_envvars_config enable_grpc_ssl enable_metrics_api
    enable_model_api grpc_inference_address grpc_inference_max_connection_age_grace_ms
    grpc_inference_max_connection_age_ms grpc_inference_port grpc_management_address
    grpc_management_max_connection_age_grace_ms grpc_management_max_connection_age_ms
    grpc_management_port inference_address initial_distribution_port initial_worker_port
    install_py_dep_per_model io_ratio ipex_enable ipex_gpu_enable job_queue_size keystore
    keystore_pass keystore_type limit_max_image_pixels load_models management_address
    max_request_size max_response_size metric_time_interval metrics_address metrics_config
    metrics_mode model_metrics_auto_detect model_server_home model_snapshot model_store models
    netty_client_threads number_of_gpu number_of_netty_threads plugins_path
    prefer_direct_buffer private_key_file service_envelope system_metrics_cmd
    token_expiration_min ts_header_key_sequence_end ts_header_key_sequence_id
    ts_header_key_sequence_start ts_open_inference_protocol unregister_model_timeout
    use_env_allowed_urls use_native_io vmargs workflow_store
    """.split()  # noqa: SIM905 - a list of 70 names in quotes is no easier to read
)


def require_known(values: Mapping[str, str]) -> None:
    """Raise ValueError naming the keys that TorchServe does not have."""
    unknown = sorted(values.keys() - KEYS)
    if unknown:
        message = f"TorchServe has no setting {', '.join(unknown)}"
        raise ValueError(message)


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what variables `TS_<KEY>` set, by key; an empty one sets nothing.

    Relative paths are relative to the working directory, as everywhere in a shell. Raises
    ValueError for a variable of no key.
    """
    values = {
        _key(name): text
        for name, text in environment.items()
        if name.startswith(_PREFIX) and name not in _NO_KEYS and text
    }
    require_known(values)
    if lines := [key for key, text in values.items() if len(text.splitlines()) > 1]:
        message = f"{', '.join(lines)}: more than one line"
        raise ValueError(message)
    return {
        key: str(Path(text).absolute()) if key in PATHS else text for key, text in values.items()
    }


def _key(variable: str) -> str:
    # A few keys begin with ts_ themselves; TorchServe's variables for them do not repeat it.
    whole = variable.lower()
    return whole if whole in KEYS else whole.removeprefix(_PREFIX.lower())
