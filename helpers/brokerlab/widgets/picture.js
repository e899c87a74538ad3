// A view that is a picture: the kernel drew it as a scene (brokerlab/widgets/scene.py).

export default liveView(({ stage }) => (view) => patch(stage, view.picture ? [view.picture] : []));
