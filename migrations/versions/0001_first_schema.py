"""First schema: accounts, repositories, Git objects, models, activity, and the search index of each database.

Locks nothing that exists.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)

# The words of a model, made by the one analyser: its name; its tags; everything else. Autogenerate leaves out
# what has `_fts` in its name. SQLite: rowid is the repository's id; a trigger stands in for a foreign key.
SQLITE_INDEX = (
    (
        "CREATE VIRTUAL TABLE models_fts USING fts5(name, tags, text, "
        "tokenize = \"unicode61 remove_diacritics 0 tokenchars '-._/+#'\")"
    ),
    (
        "CREATE TRIGGER models_fts_delete AFTER DELETE ON repositories BEGIN "
        "DELETE FROM models_fts WHERE rowid = old.id; END"
    ),
)
POSTGRESQL_INDEX = (
    (
        "CREATE TABLE models_fts ("
        "repository_id bigint PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE, "
        "name text[] NOT NULL, tags text[] NOT NULL, text text[] NOT NULL, "
        "terms tsvector NOT NULL GENERATED ALWAYS AS (array_to_tsvector(name || tags || text)) STORED)"
    ),
    "CREATE INDEX models_fts_terms ON models_fts USING gin (terms)",
)


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("key", sa.String(length=96), nullable=False, comment="lower case name"),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("fullname", sa.String(length=200), nullable=True),
        sa.Column(
            "password", sa.String(length=300), nullable=True, comment="scrypt$n$r$p$salt$hash; NULL: no login"
        ),
        sa.Column("is_admin", sa.Boolean(), nullable=False, comment="administers the whole hub"),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "kind = 'user' OR password IS NULL", name=op.f("ck_accounts_organizations_have_no_password")
        ),
        sa.CheckConstraint("kind IN ('user', 'organization')", name=op.f("ck_accounts_kind")),
        sa.CheckConstraint("key = lower(name)", name=op.f("ck_accounts_key_is_lower_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("key", name=op.f("uq_accounts_key")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", MOMENT, nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True, comment="of the last attempt"),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_jobs_running_has_lease")
        ),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_jobs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_state_run_after"), "jobs", ["state", "run_after"])
    op.create_index(
        "uq_jobs_key_queued",
        "jobs",
        ["key"],
        unique=True,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "memberships",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "role IN ('read', 'contributor', 'write', 'admin')", name=op.f("ck_memberships_role")
        ),
        sa.CheckConstraint("organization_id <> account_id", name=op.f("ck_memberships_not_of_itself")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_memberships_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["accounts.id"],
            name=op.f("fk_memberships_organization_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "account_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_account_id"), "memberships", ["account_id"])
    op.create_table(
        "repositories",
        sa.Column("id", ID, nullable=False),
        sa.Column("namespace", sa.String(length=96), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("key", sa.String(length=193), nullable=False, comment="lower case namespace/name"),
        sa.Column(
            "owner_id", ID, nullable=True, comment="the account called namespace; NULL: linked, no account"
        ),
        sa.Column("created_by_id", ID, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column(
            "upstream",
            sa.String(length=193),
            nullable=True,
            comment="id on the Hugging Face Hub, kept when hosted",
        ),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("gated", sa.String(length=16), nullable=True),
        sa.Column("default_branch", sa.String(length=255), nullable=False),
        sa.Column("downloads", sa.BigInteger(), nullable=False),
        sa.Column("likes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint("gated IN ('auto', 'manual')", name=op.f("ck_repositories_gated")),
        sa.CheckConstraint(
            "key = lower(namespace || '/' || name)", name=op.f("ck_repositories_key_is_lower_id")
        ),
        sa.CheckConstraint(
            "status = 'hosted' OR upstream IS NOT NULL", name=op.f("ck_repositories_linked_has_upstream")
        ),
        sa.CheckConstraint(
            "status = 'linked' OR owner_id IS NOT NULL", name=op.f("ck_repositories_hosted_has_owner")
        ),
        sa.CheckConstraint("status IN ('hosted', 'linked')", name=op.f("ck_repositories_status")),
        sa.ForeignKeyConstraint(
            ["created_by_id"],
            ["accounts.id"],
            name=op.f("fk_repositories_created_by_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["accounts.id"], name=op.f("fk_repositories_owner_id_accounts"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
        sa.UniqueConstraint("key", name=op.f("uq_repositories_key")),
    )
    op.create_index(op.f("ix_repositories_created_at"), "repositories", ["created_at"])
    op.create_index(op.f("ix_repositories_downloads"), "repositories", ["downloads"])
    op.create_index(op.f("ix_repositories_likes"), "repositories", ["likes"])
    op.create_index(op.f("ix_repositories_owner_id"), "repositories", ["owner_id"])
    op.create_index(op.f("ix_repositories_updated_at"), "repositories", ["updated_at"])
    op.create_table(
        "tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the token"),
        sa.Column(
            "hint", sa.String(length=16), nullable=False, comment="its last characters, to tell tokens apart"
        ),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.CheckConstraint("scope IN ('read', 'write', 'admin')", name=op.f("ck_tokens_scope")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_tokens_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index(op.f("ix_tokens_account_id"), "tokens", ["account_id"])
    op.create_table(
        "activities",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("account_id", ID, nullable=True),
        sa.Column(
            "actor",
            sa.String(length=96),
            nullable=False,
            comment="the account's name at the time; empty: the hub itself",
        ),
        sa.Column(
            "verb",
            sa.String(length=40),
            nullable=False,
            comment="such as repository.create, commit, branch.delete",
        ),
        sa.Column("repository_id", ID, nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=False, comment="namespace/name or account"),
        sa.Column("data", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_activities_account_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_activities_repository_id_repositories"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
    )
    op.create_index(op.f("ix_activities_account_id_id"), "activities", ["account_id", "id"])
    op.create_index(op.f("ix_activities_repository_id_id"), "activities", ["repository_id", "id"])
    op.create_table(
        "commits",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("tree", sa.String(length=40), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("author_id", ID, nullable=True),
        sa.Column("author", sa.String(length=300), nullable=False, comment="name as in the Git object"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False, comment="without its title"),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("generation > 0", name=op.f("ck_commits_generation")),
        sa.ForeignKeyConstraint(
            ["author_id"], ["accounts.id"], name=op.f("fk_commits_author_id_accounts"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_commits_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "oid", name=op.f("pk_commits")),
    )
    op.create_index(op.f("ix_commits_author_id"), "commits", ["author_id"])
    op.create_table(
        "download_counts",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_download_counts_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "day", name=op.f("pk_download_counts")),
    )
    op.create_table(
        "facets",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("facet", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_facets_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "facet", "value", name=op.f("pk_facets")),
    )
    op.create_index(
        op.f("ix_facets_facet_value_repository_id"), "facets", ["facet", "value", "repository_id"]
    )
    op.create_table(
        "files",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("is_lfs", sa.Boolean(), nullable=False),
        sa.CheckConstraint("size >= 0", name=op.f("ck_files_size")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_files_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "oid", name=op.f("pk_files")),
    )
    op.create_index(op.f("ix_files_sha256"), "files", ["sha256"])
    op.create_table(
        "git_objects",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN ('tree', 'commit', 'tag')", name=op.f("ck_git_objects_kind")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_git_objects_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "oid", name=op.f("pk_git_objects")),
    )
    op.create_table(
        "large_files",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_by_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("size >= 0", name=op.f("ck_large_files_size")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_large_files_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["uploaded_by_id"],
            ["accounts.id"],
            name=op.f("fk_large_files_uploaded_by_id_accounts"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("repository_id", "sha256", name=op.f("pk_large_files")),
    )
    op.create_index(op.f("ix_large_files_sha256"), "large_files", ["sha256"])
    op.create_index(op.f("ix_large_files_uploaded_by_id"), "large_files", ["uploaded_by_id"])
    op.create_table(
        "models",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column(
            "commit_oid",
            sa.String(length=40),
            nullable=True,
            comment="the commit these facts are of; NULL: a card's word",
        ),
        sa.Column("family", sa.String(length=100), nullable=True),
        sa.Column("model_type", sa.String(length=100), nullable=True),
        sa.Column("architecture", sa.String(length=200), nullable=True),
        sa.Column("parameters", sa.BigInteger(), nullable=True),
        sa.Column("parameters_by_dtype", JSON, nullable=False, comment="{safetensors dtype: count}"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True, comment="of all files of the revision"),
        sa.Column("license", sa.String(length=100), nullable=True),
        sa.Column("pipeline_tag", sa.String(length=100), nullable=True),
        sa.Column("library", sa.String(length=100), nullable=True),
        sa.Column("context_length", sa.BigInteger(), nullable=True, comment="tokens"),
        sa.Column("num_layers", sa.Integer(), nullable=True),
        sa.Column("num_heads", sa.Integer(), nullable=True),
        sa.Column("num_kv_heads", sa.Integer(), nullable=True),
        sa.Column("head_dim", sa.Integer(), nullable=True),
        sa.Column("hidden_size", sa.Integer(), nullable=True),
        sa.Column("vocab_size", sa.Integer(), nullable=True),
        sa.Column(
            "verdict", sa.String(length=32), nullable=True, comment="status of the verification of commit_oid"
        ),
        sa.Column("title_en", sa.Text(), nullable=True),
        sa.Column("title_zh", sa.Text(), nullable=True),
        sa.Column("description_en", sa.Text(), nullable=True),
        sa.Column("description_zh", sa.Text(), nullable=True),
        sa.Column("card", JSON, nullable=False, comment="card metadata, checked and bounded"),
        sa.Column(
            "card_text",
            sa.Text(),
            nullable=True,
            comment="a linked entry's card; a hosted one's is its README.md",
        ),
        sa.Column("config", JSON, nullable=False, comment="architectures, model_type … of config.json"),
        sa.Column("tags", JSON, nullable=False, comment="all tags, in the order shown"),
        sa.Column(
            "seed_digest",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 of the seeded card it was made from",
        ),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_models_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", name=op.f("pk_models")),
    )
    op.create_index(op.f("ix_models_family"), "models", ["family"])
    op.create_index(op.f("ix_models_license"), "models", ["license"])
    op.create_index(op.f("ix_models_parameters"), "models", ["parameters"])
    op.create_index(op.f("ix_models_pipeline_tag"), "models", ["pipeline_tag"])
    op.create_index(op.f("ix_models_size_bytes"), "models", ["size_bytes"])
    op.create_index(op.f("ix_models_verdict"), "models", ["verdict"])
    op.create_table(
        "changes",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("folder", sa.Text(), nullable=False, comment="of the path; empty: the root"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False, comment="the commit"),
        sa.ForeignKeyConstraint(
            ["repository_id", "oid"],
            ["commits.repository_id", "commits.oid"],
            name=op.f("fk_changes_repository_id_oid_commits"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "folder", "name", "oid", name=op.f("pk_changes")),
    )
    op.create_index(op.f("ix_changes_repository_id_oid"), "changes", ["repository_id", "oid"])
    op.create_table(
        "commit_parents",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id", "oid"],
            ["commits.repository_id", "commits.oid"],
            name=op.f("fk_commit_parents_repository_id_oid_commits"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["repository_id", "parent"],
            ["commits.repository_id", "commits.oid"],
            name=op.f("fk_commit_parents_repository_id_parent_commits"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "oid", "position", name=op.f("pk_commit_parents")),
    )
    op.create_index(
        op.f("ix_commit_parents_repository_id_parent"), "commit_parents", ["repository_id", "parent"]
    )
    op.create_table(
        "refs",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("target", sa.String(length=40), nullable=False, comment="the commit"),
        sa.Column(
            "tag", sa.String(length=40), nullable=True, comment="the annotated tag object, where there is one"
        ),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint("name LIKE 'refs/%'", name=op.f("ck_refs_name")),
        sa.ForeignKeyConstraint(
            ["repository_id", "target"],
            ["commits.repository_id", "commits.oid"],
            name=op.f("fk_refs_repository_id_target_commits"),
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_refs_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "name", name=op.f("pk_refs")),
    )
    op.create_index(op.f("ix_refs_repository_id_target"), "refs", ["repository_id", "target"])
    op.create_table(
        "verifications",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("commit_oid", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("family", sa.String(length=100), nullable=True),
        sa.Column("report", JSON, nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False, comment="of ModelCenter that judged"),
        sa.Column("verified_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id", "commit_oid"],
            ["commits.repository_id", "commits.oid"],
            name=op.f("fk_verifications_repository_id_commit_oid_commits"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "commit_oid", name=op.f("pk_verifications")),
    )
    for statement in SQLITE_INDEX if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_INDEX:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER models_fts_delete")
    for table in (
        "models_fts",
        "verifications",
        "refs",
        "commit_parents",
        "changes",
        "models",
        "large_files",
        "git_objects",
        "files",
        "facets",
        "download_counts",
        "commits",
        "activities",
        "tokens",
        "repositories",
        "memberships",
        "jobs",
        "accounts",
    ):
        op.drop_table(table)
