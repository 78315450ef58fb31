import random

from mulligan import Context, Retry, task


def download(name: str) -> str:
    if random.random() < 0.5:
        raise ConnectionResetError(f"{name}: the store hung up")
    return f"contents of {name}"


@task(retries=Retry(max_attempts=20, delay=1, factor=2, max_delay=4))
def ingest(ctx: Context, name: str) -> int:
    text = ctx.step(download, name)  # saved: whatever fails after it, this is not done again
    return len(text)


if __name__ == "__main__":
    print(ingest.map(["a.csv", "b.csv", "c.csv"]).wait(progress=True).results())
