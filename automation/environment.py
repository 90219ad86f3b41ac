"""n8n's own environment variables: what is switched off, where it keeps things, what its workflows may read.

Here: the one table. Not here: our settings (`settings`), starting n8n (`n8n`).
"""

from __future__ import annotations

from pathlib import Path

from automation.settings import AutomationSettings

HOOKS = Path(__file__).resolve().parent / "hooks.js"

# n8n calls its maker's servers for telemetry, news, templates, licences, packages and help. None of it is needed.
_NO_OUTSIDE_CALLS = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_DIAGNOSTICS_CONFIG_FRONTEND": "",
    "N8N_DIAGNOSTICS_CONFIG_BACKEND": "",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_WHATS_NEW_ENABLED": "false",
    "N8N_DYNAMIC_BANNERS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_HIRING_BANNER_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_LICENSE_AUTO_RENEW_ENABLED": "false",
    "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
    "N8N_AI_ENABLED": "false",
    "EXTERNAL_FRONTEND_HOOKS_URLS": "",
    "N8N_SENTRY_DSN": "",
    # Parts of n8n that call out (a registry of tools) or that nothing here uses: it starts faster and smaller without.
    "N8N_DISABLED_MODULES": (
        "mcp-registry,mcp,instance-ai,chat-hub,community-packages,source-control,external-secrets,ldap,sso-oidc,"
        "sso-saml,log-streaming,workflow-reviews,quick-connect,insights"
    ),
}

_OPERATION = {
    "EXECUTIONS_TIMEOUT": "-1",  # a wait may be as long as the service is away
    "EXECUTIONS_DATA_SAVE_ON_SUCCESS": "all",
    "EXECUTIONS_DATA_SAVE_ON_ERROR": "all",
    "EXECUTIONS_DATA_PRUNE": "true",
    "EXECUTIONS_DATA_MAX_AGE": "336",  # hours
    "EXECUTIONS_DATA_PRUNE_MAX_COUNT": "10000",
    "N8N_DEFAULT_BINARY_DATA_MODE": "filesystem",  # pruned together with the execution
    # Killed often enough, n8n would switch a workflow off as if it were at fault.
    "N8N_WORKFLOW_AUTODEACTIVATION_ENABLED": "false",
    "N8N_BLOCK_ENV_ACCESS_IN_NODE": "false",  # the workflows read the five variables below; secrets are not among them
    "N8N_PUBLIC_API_DISABLED": "true",
    "N8N_SECURE_COOKIE": "false",  # the editor is opened over http on this machine
    "N8N_LOG_LEVEL": "info",
    "EXTERNAL_HOOK_FILES": str(HOOKS),
}


def n8n_environment(settings: AutomationSettings, owner_password_hash: str = "") -> dict[str, str]:
    """Return n8n's variables; no secret of the service, the mail server or the LLM is among them.

    Parameters
    ----------
    settings
        Ours.
    owner_password_hash
        bcrypt's; empty: the owner is left as it is.
    """
    owner = {
        "N8N_INSTANCE_OWNER_MANAGED_BY_ENV": "true",
        "N8N_INSTANCE_OWNER_EMAIL": settings.owner_email,
        "N8N_INSTANCE_OWNER_FIRST_NAME": "Wheeltapper",
        "N8N_INSTANCE_OWNER_LAST_NAME": "Owner",
        "N8N_INSTANCE_OWNER_PASSWORD_HASH": owner_password_hash,
    }
    return {
        **_NO_OUTSIDE_CALLS,
        **_OPERATION,
        **(owner if owner_password_hash else {}),
        **({"GENERIC_TIMEZONE": settings.timezone} if settings.timezone else {}),
        "N8N_USER_FOLDER": str(settings.folder),
        "N8N_LISTEN_ADDRESS": settings.host,
        "N8N_HOST": settings.host,
        "N8N_PORT": str(settings.port),
        "N8N_RUNNERS_BROKER_PORT": str(settings.port + 1),
        "N8N_PROXY_HOPS": str(settings.proxy_hops),
        "WEBHOOK_URL": settings.public_url,
        "N8N_WEBHOOK_URL": settings.public_url,  # its name to come
        # What the workflows read.
        "WHEELTAPPER_SERVE_URL": settings.service_url,
        "WHEELTAPPER_REMIND_CRON": settings.remind_cron,
        "LLM_BASE_URL": settings.llm_url,
        "LLM_MODEL": settings.llm_model,
        "LLM_TIMEOUT_MS": str(settings.llm_timeout_ms),
        "SMTP_FROM": settings.mail_from,
    }
