"""Predictions no longer say whether their encoder was never trained: every one that ships is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    # In place, which both databases can: a batch would drop SQLite's table, and with it what refers to its rows.
    op.drop_column("predictions", "encoder_stand_in")


def downgrade() -> None:
    """Take the step back."""
    op.add_column("predictions", sa.Column("encoder_stand_in", sa.Boolean(), nullable=False, server_default=sa.false()))
