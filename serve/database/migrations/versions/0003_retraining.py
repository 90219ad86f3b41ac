"""Jobs, leases, the ledger, reference versions and what trained which model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("started", _MOMENT, nullable=True),
        sa.Column("finished", _MOMENT, nullable=True),
        sa.Column("claimed", _MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=True),
        sa.Column("progress", sa.String(255), nullable=True),
        sa.Column("champion", sa.String(255), nullable=True),
        sa.Column("challenger", sa.String(255), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("comparison", sa.JSON(), nullable=True),
        sa.Column("answers_used", sa.Integer(), nullable=False),
        sa.Column("answers_seen", sa.Integer(), nullable=False),
        sa.Column("upload", sa.String(255), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_status", "jobs", ["status"])
    op.create_index("ix_jobs_created", "jobs", ["created"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("expires", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("model_version", sa.String(255), nullable=False),
        sa.Column("previous", sa.String(255), nullable=True),
        sa.Column("encoder_sha256", sa.String(64), nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_ledger_job_id_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_model_version", "ledger", ["model_version"])
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_table(
        "reference_versions",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("encoder_name", sa.String(255), nullable=False),
        sa.Column("encoder_sha256", sa.String(64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("clips", sa.Integer(), nullable=False),
        sa.Column("anomalies", sa.Integer(), nullable=False),
        sa.Column("held_out", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_reference_versions"),
    )
    op.create_table(
        "reference_windows",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("clip_sha256", sa.String(64), nullable=False),
        sa.Column("encoder_sha256", sa.String(64), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reference_windows"),
        sa.UniqueConstraint(
            "clip_sha256",
            "encoder_sha256",
            "start_s",
            "end_s",
            name="uq_reference_windows_clip_sha256_encoder_sha256_start_s_end_s",
        ),
    )
    op.create_table(
        "reference_rows",
        sa.Column("reference_sha256", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("window_id", sa.Integer(), nullable=False),
        sa.Column("target", sa.Boolean(), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("domain", sa.String(16), nullable=False),
        sa.Column("split", sa.String(16), nullable=False),
        sa.Column("recording", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("level_db", sa.Double(), nullable=False),
        sa.Column("held_out", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["window_id"], ["reference_windows.id"], name="fk_reference_rows_window_id_reference_windows"
        ),
        sa.PrimaryKeyConstraint("reference_sha256", "position", name="pk_reference_rows"),
    )
    op.create_table(
        "model_sources",
        sa.Column("model_version", sa.String(255), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("reference_sha256", sa.String(64), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_model_sources_job_id_jobs"),
        sa.PrimaryKeyConstraint("model_version", name="pk_model_sources"),
    )
    op.create_index("ix_model_sources_job_id", "model_sources", ["job_id"])
    op.create_table(
        "model_answers",
        sa.Column("model_version", sa.String(255), nullable=False),
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("target", sa.Boolean(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name="fk_model_answers_prediction_id_predictions"
        ),
        sa.PrimaryKeyConstraint("model_version", "prediction_id", name="pk_model_answers"),
    )
    op.create_index("ix_model_answers_prediction_id", "model_answers", ["prediction_id"])
    op.execute("INSERT INTO counters (name, value) VALUES ('jobs', 0), ('ledger', 0)")


# What served, when and why is evidence: the database itself refuses to change it.
_APPEND_ONLY = {
    "sqlite": tuple(
        f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
        "CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()",
    ),
}


def downgrade() -> None:
    """Take the step back."""
    op.execute("DELETE FROM counters WHERE name IN ('jobs', 'ledger')")
    for table in ("model_answers", "model_sources", "reference_rows", "reference_windows", "reference_versions"):
        op.drop_table(table)
    for table in ("ledger", "leases", "jobs"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_is_append_only()")
