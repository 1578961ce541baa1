// What a Kubernetes cluster of this host is made of, as one program that goes by several names: so what its parts have in common,
// which is most of it, is compiled once.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kubectl":
		os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
	case "node-controllers":
		runNodeControllers(untilAsked(), os.Args[1:])
	case "node":
		runNode(untilAsked())
	default:
		log.Fatalf("no part of a cluster is called %s", name)
	}
}

// Ends when the program is asked to.
func untilAsked() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	return ctx
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
