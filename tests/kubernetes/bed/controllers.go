package main

import (
	"context"
	"flag"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	"k8s.io/kubernetes/pkg/controller/tainteviction"
)

// Of kube-controller-manager the two controllers that notice a lost node and delete its pods: with the others its building would
// take minutes more.
func runNodeControllers(ctx context.Context, args []string) {
	flags := flag.NewFlagSet("node-controllers", flag.ExitOnError)
	grace := flags.Duration("grace", 10*time.Second, "how long a node may be silent")
	check(flags.Parse(args))
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	check(err)
	client, err := kubernetes.NewForConfig(config)
	check(err)
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	lifecycle, err := nodelifecycle.NewNodeLifecycleController(ctx, factory.Coordination().V1().Leases(), core.Pods(), core.Nodes(),
		factory.Apps().V1().DaemonSets(), client, time.Second, time.Minute, *grace, 10, 10, 1, 1)
	check(err)
	eviction, err := tainteviction.New(ctx, client, core.Pods(), core.Nodes(), "taint-eviction-controller")
	check(err)
	go keepAnother(ctx, client.CoreV1().Nodes())
	factory.Start(ctx.Done())
	go lifecycle.Run(ctx)
	eviction.Run(ctx)
}

// A node that is always ready, and takes no pods: where all nodes are silent at once, the controllers take that for a fault of the
// network, and delete nothing.
func keepAnother(ctx context.Context, nodes corev1.NodeInterface) {
	name := metav1.ObjectMeta{Name: "another"}
	nodes.Create(ctx, &v1.Node{ObjectMeta: name, Spec: v1.NodeSpec{Unschedulable: true}}, metav1.CreateOptions{})
	for ; ctx.Err() == nil; time.Sleep(time.Second) {
		ready := v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue, LastHeartbeatTime: metav1.Now()}
		status := v1.NodeStatus{Conditions: []v1.NodeCondition{ready}}
		nodes.UpdateStatus(ctx, &v1.Node{ObjectMeta: name, Status: status}, metav1.UpdateOptions{})
	}
}
