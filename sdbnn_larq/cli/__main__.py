from sdbnn_command import main

main()
