module github.com/resp-exporter/resp-exporter/e2e

go 1.26.0

replace github.com/resp-exporter/resp-exporter => ../
