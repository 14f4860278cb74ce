"""Airflow of both majors: which runs it has, and what its command line says, in Airflow's own recorded words.

Its REST API is in `airflow_rest`.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

__all__ = ["Airflow", "Answer", "Run", "Taken", "words_of", "written"]

FIXTURES = Path(__file__).parent.parent / "fixtures" / "airflow_cli"
_ALLOWED_RUN_IDS = re.compile(r"[A-Za-z0-9_.~:+-]+")


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run as it lies in Airflow's database; `conf` is the JSON text it was given."""

    environment: str
    dag_id: str
    run_id: str
    conf: str
    logical_date: float | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Why a run cannot be created: its run_id or its logical date is another run's.

    `seen`: Airflow found so when it looked; else its database refuses the row when it is written.
    """

    run_id: bool
    date: bool
    seen: bool


@dataclass(frozen=True, slots=True)
class Answer:
    stdout: str
    stderr: str


def words_of(command: str) -> list[str]:
    """Split a command line as a shell does, quickly where only single quotes are in play."""
    parts = command.split("'")
    if any("\\" in part or '"' in part for part in parts[::2]):
        return shlex.split(command)
    if len(parts) % 2 == 0:
        raise ValueError("No closing quotation")
    words: list[str] = []
    word: str | None = None
    for n, part in enumerate(parts):
        if n % 2:
            word = (word or "") + part
            continue
        pieces = part.split(" ")
        for m, piece in enumerate(pieces):
            if m and word is not None:
                words.append(word)
                word = None
            if piece:
                word = (word or "") + piece
    if word is not None:
        words.append(word)
    return words


@dataclass
class Airflow:
    """One environment's metadata database and command line.

    The same DAG cannot have two runs of one logical date. Airflow 2 gives every run one; Airflow 3 only those that name
    one. `history` keeps what was purged from `runs`. A DAG of `without_tasks` has runs without a task.
    Of `paused` and `stale` DAGs runs stay queued: Airflow 2 knows no stale DAG, nor does Airflow 3's REST API.
    `import_errors` are the stack traces of the DAG files that do not import, by path.
    `allowed_run_ids` is its setting `[scheduler] allowed_run_id_pattern`.
    """

    environment: str
    version: str
    dags: set[str]
    without_tasks: frozenset[str] = frozenset()
    paused: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    import_errors: dict[str, str] = field(default_factory=dict)
    allowed_run_ids: re.Pattern[str] = _ALLOWED_RUN_IDS
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    dates: dict[tuple[str, float], Run] = field(default_factory=dict)
    history: list[Run] = field(default_factory=list)
    date_taken: Callable[[], bool] = bool  # whether somebody else's run has just taken the logical date

    @property
    def is_2(self) -> bool:
        return self.version.startswith("2")

    def execute(self, command: str, checked_at: float, now: float) -> Answer:
        """Run a command that looked at the database at `checked_at` and writes to it now."""
        try:
            words = words_of(command)
        except ValueError as error:
            return Answer("", f"Traceback (most recent call last):\nValueError: {error}\n")
        match words[:2]:
            case ["dags", "trigger"]:
                return self._trigger(words[2:], checked_at, now)
            case ["dags", "list"]:
                return self._list(words[2:])
            case ["dags", "list-import-errors"]:
                return self._list_import_errors(words[2:])
            case ["tasks", "states-for-dag-run"]:
                return self._look_up(words[2:], checked_at)
            case _:
                return Answer(
                    "", f"\nairflow command error: argument GROUP_OR_COMMAND: invalid choice: '{words[0]}'\n"
                )

    def purge(self) -> None:
        """Forget every run, as `airflow db clean` does."""
        self.runs.clear()
        self.dates.clear()

    def _trigger(self, words: list[str], checked_at: float, now: float) -> Answer:
        options, positional = _options(iter(words), flags={"--no-replace-microseconds"})
        date_option = "--exec-date" if self.is_2 else "--logical-date"
        known = {"-o", "--run-id", "--conf", "--no-replace-microseconds", date_option}
        if unknown := sorted(options.keys() - known):
            return Answer(
                "",
                f"\nairflow command error: unrecognized arguments: {unknown[0]}={options[unknown[0]]}, see help above.\n",
            )
        if len(positional) != 1:
            return Answer(
                "", "\nairflow dags trigger command error: unrecognized arguments, see help above.\n"
            )
        [dag_id] = positional
        run_id, conf = options.get("--run-id", ""), options.get("--conf", "{}")
        try:
            json.loads(conf)
        except ValueError as error:
            return self._failed("bad_json", f"json.decoder.JSONDecodeError: {error}")
        if dag_id not in self.known(over_rest=False):
            return self._failed(
                "dag_missing", f"airflow.exceptions.DagNotFound: Dag id {dag_id} not found in DagModel"
            )
        run_id = run_id or f"manual__{now}"
        if not self.allowed_run_ids.fullmatch(run_id):
            return self._failed(
                "bad_run_id", f"ValueError: The run_id provided '{run_id}' does not match regex pattern"
            )
        date = checked_at if self.is_2 else None
        if date_option in options:
            date = datetime.fromisoformat(options[date_option]).timestamp()
        if date is not None:
            date = round(date, 6) if "--no-replace-microseconds" in options else float(int(date))
        match self.create(dag_id, run_id, conf, date=date, checked_at=checked_at, now=now):
            case Run() as run:
                return self._created(run)
            case taken:
                return self._taken(taken, dag_id, run_id, date)

    def create(
        self, dag_id: str, run_id: str, conf: str, *, date: float | None, checked_at: float, now: float
    ) -> Run | Taken:
        """Create a run if neither its run_id nor its logical date is taken, by what is seen at `checked_at` and `now`."""
        if date is not None and self.date_taken():
            self.dates.setdefault(
                (dag_id, date), Run(self.environment, dag_id, "manual__1", "{}", date, date)
            )
        of_run = self.runs.get((dag_id, run_id))
        of_date = None if date is None else self.dates.get((dag_id, date))
        seen = {run for run in (of_run, of_date) if run is not None and run.created_at <= checked_at}
        if seen:
            return Taken(run_id=of_run in seen, date=of_date in seen and of_date is not of_run, seen=True)
        if of_run is not None or of_date is not None:
            return Taken(run_id=of_run is not None, date=of_run is None, seen=False)
        run = Run(self.environment, dag_id, run_id, conf, date, now)
        self.runs[dag_id, run_id] = run
        if date is not None:
            self.dates[dag_id, date] = run
        self.history.append(run)
        return run

    def known(self, *, over_rest: bool) -> set[str]:
        """The DAGs of which a run can be started."""
        return self.dags - self.stale if self.is_2 or over_rest else self.dags

    def _list(self, words: list[str]) -> Answer:
        options, positional = _options(iter(words), flags=set())
        assert not positional
        columns = options["--columns"].split(",")
        rows = [
            {
                "dag_id": dag_id,
                "is_paused": str(dag_id in self.paused),
                "is_active": str(dag_id not in self.stale),
                "is_stale": str(dag_id in self.stale),
            }
            for dag_id in sorted(self.known(over_rest=False))
        ]
        unknown = "is_stale" if self.is_2 else "is_active"
        shown = [{name: row[name] for name in columns if name != unknown} for row in rows]
        recorded = _recorded(self.version, "dags_list")
        before = recorded.stdout.rpartition("[{")[0]
        return Answer(before + json.dumps(shown) + "\n", recorded.stderr)

    def _list_import_errors(self, words: list[str]) -> Answer:
        assert words == ["-o", "json"]
        recorded = _recorded(self.version, "dags_list_import_errors")
        before = recorded.stdout.rpartition("[")[0].rpartition("\n")[0]
        rows = [{"filepath": path, "error": trace} for path, trace in self.import_errors.items()]
        return Answer(f"{before}\n{json.dumps(rows)}\n", recorded.stderr)

    def find(self, dag_id: str, run_id: str, at: float) -> Run | None:
        """Return the run if it is there at that time."""
        run = self.runs.get((dag_id, run_id))
        return run if run is not None and run.created_at <= at else None

    def _taken(self, taken: Taken, dag_id: str, run_id: str, date: float | None) -> Answer:
        """What the command says of it: as Airflow looks first, or as its database refuses the row."""
        if self.is_2 and taken.seen and taken.run_id and taken.date:
            return self._failed(
                "duplicate_run_id",
                "sqlalchemy.exc.MultipleResultsFound: Multiple rows were found when one or none was required",
            )
        if taken.seen and (self.is_2 or taken.run_id):
            # Airflow 2 prints the run_id that was asked for, whichever of the two it collides with. Airflow 3 looks for the
            # run_id alone.
            at = f" at {written(date)}" if self.is_2 and date is not None else ""
            return self._failed(
                "duplicate_run_id",
                f"airflow.exceptions.DagRunAlreadyExists: A DAG Run already exists "
                f"for DAG {dag_id}{at} with run id {run_id}",
            )
        if taken.run_id:
            return self._twin("dag_run_dag_id_run_id_key", f"(dag_id, run_id)=({dag_id}, {run_id})")
        name = "execution_date" if self.is_2 else "logical_date"
        return self._twin(
            f"dag_run_dag_id_{name}_key", f"(dag_id, {name})=({dag_id}, {written(date or 0.0)})"
        )

    def _created(self, run: Run) -> Answer:
        template = _recorded(self.version, "triggered")
        stdout = template.stdout.replace(_RECORDED_RUN, run.run_id).replace("ingest_orders", run.dag_id)
        return Answer(stdout.replace('"conf": {}', f'"conf": {run.conf}'), template.stderr)

    def _look_up(self, words: list[str], checked_at: float) -> Answer:
        options, positional = _options(iter(words), flags=set())
        assert len(positional) == 2, positional
        assert options.keys() <= {"-o"}
        dag_id, run_id = positional
        if self.find(dag_id, run_id, checked_at) is not None:
            if dag_id in self.without_tasks:
                return Answer("[]\n", "")
            found = _recorded(self.version, "lookup_found")
            return Answer(found.stdout.replace("ingest_orders", dag_id), found.stderr)
        if self.is_2:
            said = (
                f"airflow.exceptions.AirflowException: Error parsing the supplied execution_date. "
                f"Error: Invalid date string: {run_id}"
            )
        else:
            said = (
                f"airflow.exceptions.DagRunNotFound: DagRun for {dag_id} with run_id or logical_date of "
                f"'{run_id}' not found"
            )
        return self._failed("lookup_missing", said)

    def _twin(self, key: str, columns: str) -> Answer:
        return self._failed(
            "duplicate_run_id",
            "sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) "
            f'duplicate key value violates unique constraint "{key}"\n'
            f"DETAIL:  Key {columns} already exists.\n\n(Background on this error at: https://sqlalche.me/e/14/gkpj)",
        )

    def _failed(self, recorded: str, last_line: str) -> Answer:
        """The recorded traceback with another exception at its end."""
        template = _recorded(self.version, recorded)
        return Answer(template.stdout, f"{_traceback(self.version, recorded)}{last_line}\n")


_RECORDED_RUN = "evt__finance.orders-landing__00000000000000000000000000000001"


@cache
def _recorded(version: str, name: str) -> Answer:
    document = json.loads((FIXTURES / version / f"{name}.json").read_text())
    return Answer(document["stdout"], document["stderr"])


@cache
def _traceback(version: str, name: str) -> str:
    lines = _recorded(version, name).stderr.rstrip("\n").splitlines(keepends=True)
    return "".join(lines[:-1])


def written(date: float) -> str:
    return str(datetime.fromtimestamp(date, UTC))


def _options(words: Iterator[str], flags: set[str]) -> tuple[dict[str, str], list[str]]:
    """Read options as argparse does, `--option=value` or `--option value`."""
    options: dict[str, str] = {}
    positional: list[str] = []
    for word in words:
        if word in flags:
            options[word] = ""
        elif word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            options[name] = value
        elif word.startswith("-"):
            options[word] = next(words, "")
        else:
            positional.append(word)
    return options, positional
