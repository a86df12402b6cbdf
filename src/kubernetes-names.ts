// The names that Kubernetes allows. A directory of a bucket that is named otherwise was made by another program (`@eaDir`,
// `lost+found`, `.snapshot`): it is no namespace, VM or backup.

/** Whether `name` is an RFC 1123 label, as namespaces are. */
export function isNamespaceName(name: string): boolean {
  return name.length <= 63 && LABEL.test(name);
}

/** Whether `name` is an RFC 1123 subdomain, as VMs and backups are. */
export function isResourceName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => LABEL.test(label));
}

const LABEL = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
