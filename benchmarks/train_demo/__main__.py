"""Run the demonstration."""

from benchmarks.train_demo.run import main

if __name__ == "__main__":
    main()
