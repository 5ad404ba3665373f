module qlibshadow.io/testcluster/stage

go 1.24.0
