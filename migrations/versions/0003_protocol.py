"""Pull requests, likes, gates, moves, withdrawals, mirrors, webhooks, identities; bytes that arrive in parts.

Adds tables, and columns that may be NULL: locks nothing for longer than a moment.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "upload_parts",
        sa.Column("upload", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="from 1"),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("upload", "number", name=op.f("pk_upload_parts")),
    )
    op.create_index(op.f("ix_upload_parts_created_at"), "upload_parts", ["created_at"])
    op.create_table(
        "blob_checks",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("checked_at", MOMENT, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True, comment="NULL: nothing"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob_checks")),
    )
    op.create_index(op.f("ix_blob_checks_checked_at"), "blob_checks", ["checked_at"])
    op.create_table(
        "xorbs",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column(
            "chunks",
            sa.LargeBinary(),
            nullable=False,
            comment="for each chunk its hash (32 bytes), raw and stored length (4 bytes each)",
        ),
        sa.Column(
            "sha256",
            sa.String(length=64),
            nullable=True,
            comment="of its bytes in the staging store; NULL: gone, see its places",
        ),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_xorbs")),
    )
    op.create_index(op.f("ix_xorbs_created_at"), "xorbs", ["created_at"])
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_identities_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identities")),
    )
    op.create_index(op.f("ix_identities_account_id"), "identities", ["account_id"])
    op.create_table(
        "webhooks",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False, comment="who set it up, and with whose eyes it sees"),
        sa.Column("watched", sa.String(length=193), nullable=False, comment="lower case `org` or `org/name`"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False, comment="whsec_…: signs what is sent"),
        sa.Column("events", JSON, nullable=False, comment="such as repo.content; empty: all"),
        sa.Column("disabled_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_webhooks_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_account_id"), "webhooks", ["account_id"])
    op.create_index(op.f("ix_webhooks_watched"), "webhooks", ["watched"])
    op.create_table(
        "xorb_places",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("start", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stop", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False, comment="bytes"),
        sa.ForeignKeyConstraint(
            ["hash"], ["xorbs.hash"], name=op.f("fk_xorb_places_hash_xorbs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", "start", "stop", "sha256", name=op.f("pk_xorb_places")),
    )
    op.create_index(op.f("ix_xorb_places_sha256"), "xorb_places", ["sha256"])
    op.create_table(
        "xorb_senders",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column(
            "reach",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of what the token was limited to; empty: nothing",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_xorb_senders_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["hash"], ["xorbs.hash"], name=op.f("fk_xorb_senders_hash_xorbs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", "account_id", "reach", name=op.f("pk_xorb_senders")),
    )
    op.create_index(op.f("ix_xorb_senders_account_id"), "xorb_senders", ["account_id"])
    op.create_table(
        "access_requests",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("fields", JSON, nullable=False, comment="what the gate's form asked"),
        sa.Column("reason", sa.Text(), nullable=True, comment="of a rejection"),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("handled_at", MOMENT, nullable=True),
        sa.Column("handled_by_id", ID, nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'accepted', 'rejected')", name=op.f("ck_access_requests_status")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_access_requests_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["handled_by_id"],
            ["accounts.id"],
            name=op.f("fk_access_requests_handled_by_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_access_requests_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "account_id", name=op.f("pk_access_requests")),
    )
    op.create_index(op.f("ix_access_requests_account_id"), "access_requests", ["account_id"])
    op.create_index(op.f("ix_access_requests_handled_by_id"), "access_requests", ["handled_by_id"])
    op.create_index(
        op.f("ix_access_requests_repository_id_status"), "access_requests", ["repository_id", "status"]
    )
    op.create_table(
        "discussions",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("num", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("is_pull_request", sa.Boolean(), nullable=False),
        sa.Column("author_id", ID, nullable=True),
        sa.Column("author", sa.String(length=96), nullable=False, comment="the account's name at the time"),
        sa.Column(
            "base", sa.String(length=255), nullable=True, comment="full name of the branch it wants to change"
        ),
        sa.Column("merge_oid", sa.String(length=40), nullable=True, comment="the commit that merged it"),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "is_pull_request OR status IN ('open', 'closed')", name=op.f("ck_discussions_only_requests_merge")
        ),
        sa.CheckConstraint(
            "status IN ('draft', 'open', 'closed', 'merged')", name=op.f("ck_discussions_status")
        ),
        sa.ForeignKeyConstraint(
            ["author_id"],
            ["accounts.id"],
            name=op.f("fk_discussions_author_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_discussions_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "num", name=op.f("pk_discussions")),
    )
    op.create_index(op.f("ix_discussions_author_id"), "discussions", ["author_id"])
    op.create_index(op.f("ix_discussions_repository_id_status"), "discussions", ["repository_id", "status"])
    op.create_table(
        "former_ids",
        sa.Column("key", sa.String(length=193), nullable=False, comment="lower case namespace/name"),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column(
            "private", sa.Boolean(), nullable=False, comment="whether it was private when it had this id"
        ),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_former_ids_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_former_ids")),
    )
    op.create_index(op.f("ix_former_ids_repository_id"), "former_ids", ["repository_id"])
    op.create_table(
        "likes",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_likes_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_likes_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "account_id", name=op.f("pk_likes")),
    )
    op.create_index(op.f("ix_likes_account_id_created_at"), "likes", ["account_id", "created_at"])
    op.create_table(
        "proposed_files",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("size >= 0", name=op.f("ck_proposed_files_size")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_proposed_files_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_proposed_files_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "sha256", "account_id", name=op.f("pk_proposed_files")),
    )
    op.create_index(op.f("ix_proposed_files_account_id_sha256"), "proposed_files", ["account_id", "sha256"])
    op.create_index(op.f("ix_proposed_files_sha256"), "proposed_files", ["sha256"])
    op.create_table(
        "mirrors",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column(
            "endpoint", sa.Text(), nullable=False, comment="of the upstream hub, without a trailing slash"
        ),
        sa.Column("upstream_id", sa.String(length=193), nullable=False),
        sa.Column("checked_at", MOMENT, nullable=True, comment="when the upstream's refs were last read"),
        sa.Column(
            "pulls",
            sa.Boolean(),
            nullable=False,
            comment="follows the upstream by itself and fetches files when they are asked for",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_mirrors_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", name=op.f("pk_mirrors")),
    )
    op.create_table(
        "awaited_files",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("commit_oid", sa.String(length=40), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.CheckConstraint("size >= 0", name=op.f("ck_awaited_files_size")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_awaited_files_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "oid", name=op.f("pk_awaited_files")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("activity_id", ID, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True, comment="of the last answer; NULL: none came"),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["activity_id"],
            ["activities.id"],
            name=op.f("fk_deliveries_activity_id_activities"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name=op.f("fk_deliveries_webhook_id_webhooks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_activity_id"), "deliveries", ["activity_id"])
    op.create_index(op.f("ix_deliveries_created_at"), "deliveries", ["created_at"])
    op.create_index(op.f("ix_deliveries_webhook_id_id"), "deliveries", ["webhook_id", "id"])
    op.create_table(
        "discussion_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("num", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("author_id", ID, nullable=True),
        sa.Column("author", sa.String(length=96), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.CheckConstraint(
            "kind IN ('comment', 'commit', 'status-change', 'title-change')",
            name=op.f("ck_discussion_events_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["author_id"],
            ["accounts.id"],
            name=op.f("fk_discussion_events_author_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id", "num"],
            ["discussions.repository_id", "discussions.num"],
            name=op.f("fk_discussion_events_repository_id_num_discussions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discussion_events")),
    )
    op.create_index(op.f("ix_discussion_events_author_id"), "discussion_events", ["author_id"])
    op.create_index(
        op.f("ix_discussion_events_repository_id_num_id"), "discussion_events", ["repository_id", "num", "id"]
    )
    op.create_table(
        "withdrawals",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("commit_oid", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("account_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_withdrawals_account_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id", "commit_oid"],
            ["commits.repository_id", "commits.oid"],
            name=op.f("fk_withdrawals_repository_id_commit_oid_commits"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "commit_oid", name=op.f("pk_withdrawals")),
    )
    op.create_index(op.f("ix_withdrawals_account_id"), "withdrawals", ["account_id"])
    op.create_table(
        "sign_in_failures",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False, comment="`name:` or `address:` and whose"),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
    )
    op.create_index(op.f("ix_sign_in_failures_at"), "sign_in_failures", ["at"])
    op.create_index(op.f("ix_sign_in_failures_key_at"), "sign_in_failures", ["key", "at"])
    op.add_column(
        "accounts",
        sa.Column(
            "quota_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="most that the files of its repositories may take; NULL: no limit",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "private_by_default",
            sa.Boolean(),
            nullable=True,
            comment="whether its new repositories are private unless said; NULL: no",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column("disabled_at", MOMENT, nullable=True, comment="since when nobody may act as it"),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "signed_out_at", MOMENT, nullable=True, comment="sign-ins to the pages from before count no more"
        ),
    )
    op.add_column(
        "activities",
        sa.Column(
            "private",
            sa.Boolean(),
            nullable=True,
            comment="whether the repository was private at the time; NULL: not known, or there was none",
        ),
    )
    op.add_column(
        "commits",
        sa.Column(
            "replaces",
            sa.String(length=40),
            nullable=True,
            comment="of one without parents: the head whose history was squashed into it",
        ),
    )
    op.add_column(
        "refs",
        sa.Column("frozen_at", MOMENT, nullable=True, comment="since when nobody may move or delete it"),
    )
    op.add_column(
        "tokens",
        sa.Column(
            "resources",
            JSON,
            nullable=True,
            comment="accounts it is good for, beside its repositories; NULL: all that its account reaches",
        ),
    )
    op.create_table(
        "token_repositories",
        sa.Column("token_id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_token_repositories_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["tokens.id"],
            name=op.f("fk_token_repositories_token_id_tokens"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_id", "repository_id", name=op.f("pk_token_repositories")),
    )
    op.create_index(op.f("ix_token_repositories_repository_id"), "token_repositories", ["repository_id"])


def downgrade() -> None:
    op.drop_table("token_repositories")
    op.drop_column("tokens", "resources")
    op.drop_column("refs", "frozen_at")
    op.drop_column("commits", "replaces")
    op.drop_column("activities", "private")
    op.drop_column("accounts", "signed_out_at")
    op.drop_column("accounts", "disabled_at")
    op.drop_column("accounts", "private_by_default")
    op.drop_column("accounts", "quota_bytes")
    op.drop_table("sign_in_failures")
    op.drop_table("withdrawals")
    op.drop_table("discussion_events")
    op.drop_table("deliveries")
    op.drop_table("awaited_files")
    op.drop_table("mirrors")
    op.drop_table("proposed_files")
    op.drop_table("likes")
    op.drop_table("former_ids")
    op.drop_table("discussions")
    op.drop_table("access_requests")
    op.drop_table("xorb_senders")
    op.drop_table("xorb_places")
    op.drop_table("webhooks")
    op.drop_table("identities")
    op.drop_table("xorbs")
    op.drop_table("blob_checks")
    op.drop_table("upload_parts")
