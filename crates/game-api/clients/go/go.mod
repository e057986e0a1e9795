module gamekeeper.example/client

go 1.24
