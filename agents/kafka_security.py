"""From settings to what aiokafka and Faust want for a connection: addresses, TLS, user and password.

Secrets are read from their files at each call, so that a rotated password is used at the next connection.
"""

import ssl
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agents.errors import Finding, SettingsError
from agents.settings import Settings


def client_arguments(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for every aiokafka client, producer and consumer.

    Raises:
        SettingsError: a certificate, key or password file cannot be used.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "security_protocol": settings.security_protocol,
    }
    context = ssl_context(settings)
    if context is not None:
        arguments["ssl_context"] = context
    if _uses_sasl(settings):
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = sasl_password(settings)
    return arguments


def faust_broker_urls(settings: Settings) -> list[str]:
    """Addresses in the form of Faust's `broker` option."""
    return [f"aiokafka://{address}" for address in settings.bootstrap_servers]


def faust_credentials(settings: Settings) -> Any:
    """Faust's `broker_credentials` (faust.auth), None where there is nothing to prove or to encrypt.

    Raises:
        SettingsError: a certificate, key or password file cannot be used.
    """
    from faust.auth import SASLCredentials, SSLCredentials  # noqa: PLC0415 - a command must not load the engine

    context = ssl_context(settings)
    if _uses_sasl(settings):
        return SASLCredentials(
            username=settings.sasl_username,
            password=sasl_password(settings),
            ssl_context=context,
            mechanism=settings.sasl_mechanism,
        )
    return None if context is None else SSLCredentials(context=context)


def sasl_password(settings: Settings) -> str:
    """The password, from its file if there is one. Raises SettingsError if the file cannot be read."""
    return secret_text(settings.sasl_password, settings.sasl_password_file, "sasl_password_file")


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS as configured, None for a protocol without. Raises SettingsError for files that cannot be used."""
    if settings.security_protocol not in {"SSL", "SASL_SSL"}:
        return None
    context = trusting(settings.ssl_ca_file, "ssl_ca_file", "the brokers'")
    context.check_hostname = settings.ssl_check_hostname
    certificate = settings.ssl_certificate_file
    if certificate is not None:
        password = secret_text(
            settings.ssl_key_password, settings.ssl_key_password_file, "ssl_key_password_file"
        )
        try:
            context.load_cert_chain(certificate, settings.ssl_key_file, password or None)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a password is needed
            what = f"cannot be used with key {str(settings.ssl_key_file)!r}: {_in_words(error)}"
            todo = "give the PEM certificate, its own private key, and the key's password if it has one"
            raise SettingsError(
                [Finding("ssl_certificate_file", f"{str(certificate)!r} {what}", todo=todo)]
            ) from error
    return context


def _uses_sasl(settings: Settings) -> bool:
    return settings.security_protocol.startswith("SASL_")


def trusting(authorities: Path | None, field: str, whose: str) -> ssl.SSLContext:
    """TLS that trusts these authorities, else those of the system. Raises SettingsError: the file cannot be used."""
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:
        what = f"{str(authorities)!r} holds no usable certificate: {_in_words(error)}"
        todo = f"give the PEM file of the authority that signed {whose} certificates"
        raise SettingsError([Finding(field, what, todo=todo)]) from error


def secret_text(value: SecretStr, file: Path | None, field: str) -> str:
    """A secret, from its file if there is one. Raises SettingsError if the file cannot be read."""
    if file is None:
        return value.get_secret_value()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([Finding(field, f"cannot read {str(file)!r}: {_in_words(error)}")]) from error
    return text.removesuffix("\n").removesuffix("\r")


def _in_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
