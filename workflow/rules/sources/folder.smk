"""Take videos from a folder of the user's, or from an object store."""

from actionrec.sources import folder

if addresses.is_stored(config["dataset"]["path"]):

    rule fetch_class:
        """Fetch the videos of one class from an object store, and list them."""
        input:
            warned(stored_class, "videos/{cls}.tsv"),
        output:
            "<tables>/videos/{cls}.tsv",
        log:
            "<logs>/fetch_class/{cls}.log",
        localrule: True
        conda:
            "../../../envs/data.yaml"
        resources:
            download=1,
        params:
            videos=f"{RESOURCES}/videos/{{cls}}",
            contents=class_contents,
        script:
            "../../scripts/fetch_class.py"

else:

    rule link_class:
        """List the videos of one class in the user's folder, and link to it."""
        input:
            warned(class_folder, "videos/{cls}.tsv"),
        output:
            "<tables>/videos/{cls}.tsv",
        log:
            "<logs>/link_class/{cls}.log",
        localrule: True
        conda:
            "../../../envs/data.yaml"
        params:
            source=as_written(config["dataset"]["path"]),
            link=f"{RESOURCES}/videos/{{cls}}",
        script:
            "../../scripts/link_class.py"
