"""Digests of the blocks of blobs, so that parts can be checked before they are served.

Adds a table: locks nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blob_blocks",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False, comment="SHA-256 of each MiB, 32 bytes each"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob_blocks")),
    )


def downgrade() -> None:
    op.drop_table("blob_blocks")
