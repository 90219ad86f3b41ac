"""Questions, answers, episodes and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the step."""
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("answers", "rows", "questions")])
    op.create_table(
        "episodes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("first", _MOMENT, nullable=False),
        sa.Column("last", _MOMENT, nullable=False),
        sa.Column("alarms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_episodes"),
    )
    op.create_index("ix_episodes_machine_last", "episodes", ["machine", "last"])
    # Plain SQL, which both databases take: a batch would drop SQLite's table, and with it what refers to its rows.
    op.execute(
        "ALTER TABLE predictions ADD COLUMN episode_id INTEGER "
        "CONSTRAINT fk_predictions_episode_id_episodes REFERENCES episodes (id)"
    )
    op.create_index("ix_predictions_episode_id", "predictions", ["episode_id"])
    op.create_table(
        "questions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Integer(), nullable=True),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        *(
            sa.Column(moment, _MOMENT, nullable=True)
            for moment in ("sent", "reminded", "escalated", "answered", "expired")
        ),
        sa.Column("recipient_name", sa.String(255), nullable=False),
        sa.Column("recipient_email", sa.String(255), nullable=False),
        sa.Column("written_by", sa.String(16), nullable=True),
        sa.ForeignKeyConstraint(["prediction_id"], ["predictions.id"], name="fk_questions_prediction_id_predictions"),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name="fk_questions_episode_id_episodes"),
        sa.PrimaryKeyConstraint("id", name="pk_questions"),
        sa.UniqueConstraint("prediction_id", name="uq_questions_prediction_id"),
        sa.UniqueConstraint("episode_id", name="uq_questions_episode_id"),
    )
    op.create_index("ix_questions_created_id", "questions", ["created", "id"])
    op.create_index("ix_questions_state_created", "questions", ["state", "created"])
    op.create_table(
        "question_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name="fk_question_events_question_id_questions"),
        sa.PrimaryKeyConstraint("id", name="pk_question_events"),
    )
    op.create_index("ix_question_events_question_id", "question_events", ["question_id"])
    op.create_table(
        "candidates",
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("worth", sa.Double(), nullable=False),
        sa.Column("asked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["prediction_id"], ["predictions.id"], name="fk_candidates_prediction_id_predictions"),
        sa.PrimaryKeyConstraint("prediction_id", name="pk_candidates"),
    )
    op.create_index("ix_candidates_created", "candidates", ["created"])
    op.create_table(
        "answers",
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("operator", sa.String(255), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("fault", sa.String(255), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("changed", _MOMENT, nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["prediction_id"], ["predictions.id"], name="fk_answers_prediction_id_predictions"),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name="fk_answers_question_id_questions"),
        sa.PrimaryKeyConstraint("prediction_id", name="pk_answers"),
        sa.UniqueConstraint("row", name="uq_answers_row"),
    )
    op.create_index("ix_answers_created_prediction_id", "answers", ["created", "prediction_id"])
    op.create_index("ix_answers_revision", "answers", ["revision"])
    op.create_table(
        "replaced_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("operator", sa.String(255), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("fault", sa.String(255), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("given", _MOMENT, nullable=False),
        sa.Column("replaced", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name="fk_replaced_answers_prediction_id_predictions"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_replaced_answers"),
    )
    op.create_index("ix_replaced_answers_prediction_id", "replaced_answers", ["prediction_id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt", _MOMENT, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("claimed_until", _MOMENT, nullable=True),
        sa.Column("delivered", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_delivered_next_attempt", "outbox", ["delivered", "next_attempt"])
    op.create_index("ix_outbox_lane_id", "outbox", ["lane", "id"])


def downgrade() -> None:
    """Take the step back."""
    for table in (
        "outbox",
        "replaced_answers",
        "answers",
        "candidates",
        "question_events",
        "questions",
    ):
        op.drop_table(table)
    with op.batch_alter_table("predictions") as predictions:
        predictions.drop_index("ix_predictions_episode_id")
        predictions.drop_constraint("fk_predictions_episode_id_episodes", type_="foreignkey")
        predictions.drop_column("episode_id")
    for table in ("episodes", "counters"):
        op.drop_table(table)
