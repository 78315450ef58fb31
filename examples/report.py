import time

from mulligan import gather, task, workflow


@task(retries=3)
def count(name: str) -> int:
    time.sleep(2)  # long enough to be killed in
    print(f"counted {name}")
    return len(name)


@task(retries=3)
def total(parts: list[int]) -> int:
    return sum(parts)


@workflow
def report(names: list[str]) -> int:
    first = count(names[0])  # waits for the result
    others = gather(*(count.submit(name) for name in names[1:]))  # these run beside each other
    return total([first, *others])


if __name__ == "__main__":
    print(report.submit(["one", "three", "five", "seven"]).wait(progress=True).result())
