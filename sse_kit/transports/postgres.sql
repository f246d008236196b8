-- sse_kit's logs in PostgreSQL, version 1.
--
-- PostgresTransport.setup() runs this; so may you, with psql, and again: it changes nothing then.
-- A role that shall publish and read needs USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on
-- its tables. Every function names its own search_path, so that no other one matters.

DO $$ BEGIN
    IF to_regnamespace('sse_kit') IS NULL THEN
        CREATE SCHEMA sse_kit;
    END IF;
END $$;

-- One row for each namespace. Its lock is held from the next offset to the commit, so the order of
-- offsets is the order of commits, and a transaction that fails leaves no hole.
CREATE TABLE IF NOT EXISTS sse_kit.log (
    namespace text COLLATE "C" PRIMARY KEY,
    epoch text NOT NULL,
    life text NOT NULL, -- of the table that gave the last offset: see sse_kit.life
    first bigint NOT NULL DEFAULT 1,
    last bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0 -- of the records that are kept
) WITH (fillfactor = 50);

-- One topic a line: a topic holds no line break.
CREATE TABLE IF NOT EXISTS sse_kit.record (
    namespace text COLLATE "C" NOT NULL,
    off bigint NOT NULL,
    at timestamptz NOT NULL,
    size integer NOT NULL,
    topics text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (namespace, off)
);

CREATE TABLE IF NOT EXISTS sse_kit.key (
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    off bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE INDEX IF NOT EXISTS key_at ON sse_kit.key (namespace, at);

-- The last offset that an earlier epoch has in common with the present one.
CREATE TABLE IF NOT EXISTS sse_kit.fork (
    namespace text COLLATE "C" NOT NULL,
    epoch text COLLATE "C" NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (namespace, epoch)
);

CREATE UNLOGGED TABLE IF NOT EXISTS sse_kit.node (
    namespace text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    counts text NOT NULL, -- JSON
    until timestamptz NOT NULL,
    PRIMARY KEY (namespace, node)
);

CREATE TABLE IF NOT EXISTS sse_kit.version (
    number integer NOT NULL,
    one boolean PRIMARY KEY DEFAULT true CHECK (one)
);

-- Wait so many milliseconds for each lock, to the end of the transaction; NULL: as it is set.
--
-- A server that waits does not see that who asked is gone, and keeps its process for nobody.
CREATE OR REPLACE FUNCTION sse_kit.wait(patience integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF patience IS NOT NULL THEN
        PERFORM set_config('lock_timeout', patience::text, true);
    END IF;
END $$;

-- When the server started, and in which file of which database it keeps the log: a dump that is
-- restored beside or in the place of what it was taken from has another one.
CREATE OR REPLACE FUNCTION sse_kit.life() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN concat_ws('.', extract(epoch FROM pg_postmaster_start_time()),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_relation_filenode('sse_kit.log'));
END $$;

-- Lock the namespace, which is made if it is new.
--
-- A table that is not the one which gave the last offset may have lost some: it was restored, or its
-- server was, or promoted. Nothing tells, so each life is an epoch of its own, and what went before
-- is common up to where the log ends now.
CREATE OR REPLACE FUNCTION sse_kit.lock(namespace text, patience integer) RETURNS sse_kit.log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    head sse_kit.log;
    present text;
    fresh text := substr(replace(gen_random_uuid()::text, '-', ''), 1, 12);
BEGIN
    PERFORM sse_kit.wait(patience);
    SELECT * INTO head FROM sse_kit.log WHERE namespace = lock.namespace FOR UPDATE;
    present := sse_kit.life(); -- not before: now nobody puts another table in its place
    IF head.namespace IS NULL THEN
        INSERT INTO sse_kit.log (namespace, epoch, life)
            VALUES (lock.namespace, fresh, present)
            ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT head FROM sse_kit.log WHERE namespace = lock.namespace FOR UPDATE;
    END IF;
    IF head.life <> present THEN
        UPDATE sse_kit.fork SET last = least(last, head.last) WHERE namespace = lock.namespace;
        INSERT INTO sse_kit.fork VALUES (lock.namespace, head.epoch, head.last);
        UPDATE sse_kit.log SET epoch = fresh, life = present
            WHERE namespace = lock.namespace RETURNING * INTO head;
    END IF;
    RETURN head;
END $$;

-- Store publications in this order, each once by its key; offsets and duplicates come back in it.
--
-- Keys are remembered for a window of seconds. The limits are those of sse_kit.trim, which is called
-- here when they are passed by a sixteenth, and now and then: a busy log is never free for a janitor.
-- A channel is woken by NOTIFY, at commit.
CREATE OR REPLACE FUNCTION sse_kit.publish(
    namespace text, topics text[], payloads bytea[], keys text[], dedup_window double precision,
    max_records bigint, max_bytes bigint, max_age double precision, channel text, patience integer,
    OUT epoch text, OUT offsets bigint[], OUT duplicates boolean[]
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    head record; -- its type would lock the table before we say for how long
    now timestamptz;
    known bigint;
    size bigint;
    before bigint;
BEGIN
    PERFORM sse_kit.wait(patience);
    -- Else a crash could lose what was acknowledged, and nothing would tell.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    head := sse_kit.lock(namespace, patience);
    before := head.last;
    now := clock_timestamp();
    FOR i IN 1 .. cardinality(payloads) LOOP
        duplicates[i] := false;
        IF keys[i] IS NOT NULL THEN
            INSERT INTO sse_kit.key AS k VALUES (publish.namespace, keys[i], head.last + 1, now)
                ON CONFLICT (namespace, key) DO UPDATE SET off = excluded.off, at = excluded.at
                WHERE k.at < now - make_interval(secs => dedup_window);
            duplicates[i] := NOT FOUND;
        END IF;
        IF duplicates[i] THEN
            SELECT k.off INTO STRICT known FROM sse_kit.key k
                WHERE k.namespace = publish.namespace AND k.key = keys[i];
            offsets[i] := known;
        ELSE
            size := octet_length(payloads[i]) + octet_length(topics[i]);
            head.last := head.last + 1;
            head.bytes := head.bytes + size;
            offsets[i] := head.last;
            INSERT INTO sse_kit.record
                VALUES (publish.namespace, head.last, now, size, topics[i], payloads[i]);
        END IF;
    END LOOP;
    UPDATE sse_kit.log SET last = head.last, bytes = head.bytes
        WHERE namespace = publish.namespace;
    IF head.last - head.first >= max_records + max_records / 16
        OR head.bytes > max_bytes + max_bytes / 16
        OR (before / 256 < head.last / 256
            AND sse_kit.is_over(namespace, max_records, max_bytes, max_age, dedup_window, patience))
    THEN
        PERFORM sse_kit.trim(
            namespace, max_records, max_bytes, max_age, dedup_window, 2048, patience
        );
    END IF;
    IF channel IS NOT NULL AND NOT true = ALL (duplicates) THEN
        PERFORM pg_notify(channel, '');
    END IF;
    epoch := head.epoch;
END $$;

-- Let go of the oldest records over the limits (NULL: no limit; an age is seconds), and of keys over
-- their window, but of no more than a chunk of each; return whether there may be more. It waits for
-- nobody: while others publish, they do it.
CREATE OR REPLACE FUNCTION sse_kit.trim(
    namespace text, max_records bigint, max_bytes bigint, max_age double precision,
    dedup_window double precision, chunk integer, patience integer
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    head record;
    now timestamptz := clock_timestamp();
    old_records timestamptz := now - make_interval(secs => max_age);
    old_keys timestamptz := now - make_interval(secs => dedup_window);
    cut bigint;
    gone bigint;
    keys bigint;
BEGIN
    PERFORM sse_kit.wait(patience);
    -- Before keys are: publish locks in this order too.
    SELECT * INTO head FROM sse_kit.log WHERE namespace = trim.namespace FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT max(off), max(total) INTO cut, gone FROM (
        SELECT off, at, size, sum(size) OVER (ORDER BY off ROWS UNBOUNDED PRECEDING) AS total
        FROM sse_kit.record WHERE namespace = trim.namespace AND off >= head.first
        ORDER BY off LIMIT chunk
    ) oldest
    WHERE off <= head.last - max_records OR at < old_records
        OR (head.bytes - (total - size) > max_bytes AND off < head.last);
    IF cut IS NOT NULL THEN
        DELETE FROM sse_kit.record
            WHERE namespace = trim.namespace AND off BETWEEN head.first AND cut;
        UPDATE sse_kit.log SET first = cut + 1, bytes = bytes - gone
            WHERE namespace = trim.namespace;
    END IF;
    DELETE FROM sse_kit.key WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM sse_kit.key WHERE namespace = trim.namespace AND at < old_keys
        ORDER BY at LIMIT chunk
    ));
    GET DIAGNOSTICS keys = ROW_COUNT;
    RETURN keys = chunk OR cut - head.first + 1 = chunk;
END $$;

-- Whether trim has anything to do: asked without the lock.
CREATE OR REPLACE FUNCTION sse_kit.is_over(
    namespace text, max_records bigint, max_bytes bigint, max_age double precision,
    dedup_window double precision, patience integer
) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sse_kit.wait(patience);
    RETURN EXISTS (
        SELECT FROM sse_kit.log WHERE namespace = is_over.namespace
            AND (last - first >= max_records OR (bytes > max_bytes AND first < last))
    ) OR EXISTS (
        SELECT FROM sse_kit.key WHERE namespace = is_over.namespace
            AND at < clock_timestamp() - make_interval(secs => dedup_window)
    ) OR EXISTS (
        SELECT FROM sse_kit.log JOIN sse_kit.record ON off = first
        WHERE log.namespace = is_over.namespace AND record.namespace = is_over.namespace
            AND at < clock_timestamp() - make_interval(secs => max_age)
    );
END $$;

-- What is kept, and records after an offset: one view, for it is one statement. The first row is
-- always there, without a record if there is none; records end at some bytes, but not before one.
CREATE OR REPLACE FUNCTION sse_kit.page(
    namespace text, after bigint, max_records integer, max_bytes bigint, patience integer
) RETURNS TABLE (epoch text, first bigint, last bigint, off bigint, topics text, payload bytea)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sse_kit.wait(patience);
    RETURN QUERY
        SELECT log.epoch, log.first, log.last, found.off, found.topics, found.payload
        FROM sse_kit.log LEFT JOIN LATERAL (
            SELECT off, topics, payload, sum(size) OVER (ORDER BY off ROWS UNBOUNDED PRECEDING) - size AS before
            FROM sse_kit.record
            WHERE namespace = page.namespace AND off > after AND off >= log.first
            ORDER BY off LIMIT max_records
        ) found ON found.before < max_bytes
        WHERE log.namespace = page.namespace ORDER BY found.off;
END $$;

-- What is kept, and the last offset that an epoch has in common with the present one (or NULL).
CREATE OR REPLACE FUNCTION sse_kit.find(
    namespace text, wanted text, patience integer,
    OUT epoch text, OUT first bigint, OUT last bigint, OUT common bigint
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sse_kit.wait(patience);
    SELECT log.epoch, log.first, log.last, CASE log.epoch WHEN wanted THEN log.last ELSE (
        SELECT last FROM sse_kit.fork WHERE namespace = find.namespace AND epoch = wanted
    ) END INTO epoch, first, last, common
    FROM sse_kit.log WHERE namespace = find.namespace;
END $$;

CREATE OR REPLACE FUNCTION sse_kit.beat(
    namespace text, node text, counts text, lease double precision, patience integer
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sse_kit.wait(patience);
    INSERT INTO sse_kit.node VALUES (
        beat.namespace, beat.node, counts, clock_timestamp() + make_interval(secs => lease)
    ) ON CONFLICT (namespace, node) DO UPDATE SET counts = excluded.counts, until = excluded.until;
    -- After its own row: who waits for one must have none that another one waits for.
    DELETE FROM sse_kit.node WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM sse_kit.node
        WHERE namespace = beat.namespace AND until <= clock_timestamp() FOR UPDATE SKIP LOCKED
    ));
END $$;

CREATE OR REPLACE FUNCTION sse_kit.leave(namespace text, node text, patience integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sse_kit.wait(patience);
    DELETE FROM sse_kit.node WHERE namespace = leave.namespace AND node = leave.node;
END $$;

CREATE OR REPLACE FUNCTION sse_kit.nodes(namespace text, patience integer)
RETURNS TABLE (node text, counts text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sse_kit.wait(patience);
    RETURN QUERY SELECT n.node, n.counts FROM sse_kit.node n
        WHERE n.namespace = nodes.namespace AND n.until > clock_timestamp();
END $$;

INSERT INTO sse_kit.version VALUES (1) ON CONFLICT DO NOTHING;
