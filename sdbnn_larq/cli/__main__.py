from sdbnn_larq.cli import main

main()
