"""Clips, predictions and their windows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "clips",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("native_rate", sa.Integer(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_clips"),
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("clip_sha256", sa.String(64), nullable=False),
        sa.Column("filename", sa.String(255), nullable=True),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("anomaly", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("p_value", sa.Double(), nullable=False),
        sa.Column("rate_asked", sa.Double(), nullable=False),
        sa.Column("rate_used", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(255), nullable=False),
        sa.Column("encoder", sa.String(255), nullable=False),
        sa.Column("encoder_sha256", sa.String(64), nullable=False),
        sa.Column("encoder_stand_in", sa.Boolean(), nullable=False),
        sa.Column("confirmed", sa.Integer(), nullable=False),
        sa.Column("deciding_window", sa.Integer(), nullable=False),
        sa.Column("sensor", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["clip_sha256"], ["clips.sha256"], name="fk_predictions_clip_sha256_clips"),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
    )
    op.create_index("ix_predictions_created_id", "predictions", ["created", "id"])
    op.create_index("ix_predictions_machine_created", "predictions", ["machine", "created"])
    op.create_index("ix_predictions_clip_sha256", "predictions", ["clip_sha256"])
    op.create_table(
        "windows",
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("p_value", sa.Double(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["prediction_id"], ["predictions.id"], name="fk_windows_prediction_id_predictions"),
        sa.PrimaryKeyConstraint("prediction_id", "position", name="pk_windows"),
    )


def downgrade() -> None:
    """Take the step back."""
    for table in ("windows", "predictions", "clips"):
        op.drop_table(table)
