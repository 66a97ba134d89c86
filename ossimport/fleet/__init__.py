"""The other hosts of `conf/workers`: what ssh brings to them, starts, stops and sees there.

This host, the first of the file, has the console and the master. On each other one, `deploy` makes

    WORKINGDIR/deployed/BUILD/    a virtual environment with this very build in it
    WORKINGDIR/deployed/current   the build that `start` starts: a link
    WORKINGDIR/conf/              sys.properties with hostRole=worker, cluster.key; both 0600

and `start` runs the same supervisor there as here, which then has the worker alone to look after.

`members` says which hosts these are, `ssh` runs commands there, `package` and `settings` are what
they get, `deploy` and `control` what is done with all of them, `here` what a host says of itself.
"""
