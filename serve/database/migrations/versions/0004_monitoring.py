"""Results of monitoring."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "monitoring_results",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_version", sa.String(255), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_monitoring_results"),
    )
    op.create_index("ix_monitoring_results_created", "monitoring_results", ["created"])


def downgrade() -> None:
    """Take the step back."""
    op.drop_table("monitoring_results")
