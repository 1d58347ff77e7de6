"""A worker that obeys the protocol of `lorascope.studies.worker` and makes a run's files in no time, without torch.

FAKE in the environment says what it meets: JSON, seed -> "fail", "fail once", "die", "die once" or "hang"; and "pause",
seconds between the files of a run. Losses follow from the configuration, so that every repetition gives the same.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path


def write(path: Path, value: object) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value))
    os.replace(part, path)


def make(config: dict, folder: Path, pause: float) -> None:
    seed, arm = config["training"]["seed"], config["lora"]["target"]
    loss = 2 + 0.1 * (arm == "mlp_only") + 0.01 * seed + 0.001 * config["training"]["lr"]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "config.json", config)
    time.sleep(pause)
    results = {
        "best_validation_loss": loss,
        "parameters": {"trained": 1000},
        "steps": 10,
        "dataset": config["data"]["dataset"],
        "seconds": {"total": time.time() % 10},
    }
    write(folder / "gradient_analysis.summary.json", {"weights": {"groups": {}}})
    time.sleep(pause)
    write(folder / "results_summary.json", results)
    time.sleep(pause)
    write(folder / "held_out.json", {"tuned": loss, "base": 3.0, "without": {}, "parameters": {}})


def main() -> None:
    met = json.loads(os.environ.get("FAKE", "{}"))
    asked: queue.Queue = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            asked.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    print(json.dumps({"event": "ready"}), flush=True)
    while True:
        try:
            request = json.loads(asked.get())
            config = json.loads(request["config"])
            Path(request["log"]).write_text(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
            what = met.get(str(config["training"]["seed"]), "")
            if request["fresh"]:
                what = what.removesuffix(" once") if not what.endswith("once") else ""
            if what.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if what.startswith("fail"):
                print(json.dumps({"event": "failed", "error": "nan-loss: no number"}), flush=True)
                continue
            print(json.dumps({"event": "step", "done": 1, "total": 10, "text": "train"}), flush=True)
            if what == "hang":
                time.sleep(60)
            make(config, Path(config["output_dir"]) / config["experiment_name"], met.get("pause", 0.0))
            print(json.dumps({"event": "finished"}), flush=True)
        except KeyboardInterrupt:
            print(json.dumps({"event": "stopped"}), flush=True)
            return


if __name__ == "__main__":
    main()
