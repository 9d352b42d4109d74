module github.com/offhook/offhook/bindings/go

go 1.24
