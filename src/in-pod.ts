/** Whether this process runs in a pod: Kubernetes sets this variable in every container, and an empty one counts as none. */
export function inPod(env: Readonly<NodeJS.ProcessEnv>): boolean {
  return (env.KUBERNETES_SERVICE_HOST ?? '') !== '';
}
